package builtin

import (
	"crypto/sha256"
	"fmt"
	"os"
	"testing"
)

// TestRulesAreThoseOfSHA256SUMS checks the embedded rules; `make test` builds them anew and compares them.
func TestRulesAreThoseOfSHA256SUMS(t *testing.T) {
	sums, err := os.ReadFile("SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	have := ""
	for _, name := range Names() {
		wasm, err := Wasm(name)
		if err != nil {
			t.Fatal(err)
		}
		have += fmt.Sprintf("%x  %s.wasm\n", sha256.Sum256(wasm), name)
	}
	if have != string(sums) {
		t.Errorf("the rules are\n%snot\n%s", have, sums)
	}
}
