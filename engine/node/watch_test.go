package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestAChangeDuringALoadIsSeen checks that a change during a load is detected, even in a file
// that the load was the first to name.
func TestAChangeDuringALoadIsSeen(t *testing.T) {
	begun := time.Now()
	stateAt := func(change time.Time) fileState {
		t.Helper()
		path := filepath.Join(t.TempDir(), "extra.wasm")
		nodetest.Write(t, path, "x")
		if err := os.Chtimes(path, change, change); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fileState{path, info}
	}
	for _, c := range []struct {
		change time.Duration // relative to the start of the load
		known  bool          // before the load
		seen   bool          // at the next look
	}{
		{-time.Minute, false, false}, {time.Millisecond, false, true}, {-time.Minute, true, false},
	} {
		now := stateAt(begun.Add(c.change))
		var before []fileState
		if c.known {
			before = []fileState{now}
		}
		if taken := readStates(before, []fileState{now}, begun); sameState(taken[0], now) == c.seen {
			t.Errorf("%+v: seen %v", c, !c.seen)
		}
	}
}
