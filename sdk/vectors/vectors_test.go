// Package vectors_test generates the golden frames and compares them with package abi. go test
// ./sdk/vectors -update writes them again.
package vectors_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestFrames(t *testing.T)  { golden(t, "frames.json", frames()) }
func TestResults(t *testing.T) { golden(t, "results.json", results()) }

// golden compares a file with its generated content.
func golden(t *testing.T, file string, of any) {
	t.Helper()
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(of); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what package abi makes: see -update", file)
	}
}
