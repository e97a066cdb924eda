package cli

import (
	"slices"
	"strings"
	"testing"
)

// A tenant's key may try modules: what it sends is small, and what is made of it must be too.
func TestTheReceiversOfATrialAreBounded(t *testing.T) {
	for n, want := range map[int]string{0: "", maxReceivers: "", maxReceivers + 1: "at most 1000"} {
		for _, name := range []string{"receivers", "Receivers"} { // as JSON is read
			ev, err := eventOf(map[string]any{"hook": "say", name: slices.Repeat([]any{map[string]any{}}, n)})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%d %s: %v", n, name, err)
			}
			if err == nil && len(ev.Receivers) != n {
				t.Errorf("%d %s: there are %d", n, name, len(ev.Receivers))
			}
		}
	}
}
