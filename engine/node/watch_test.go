package node

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/config"
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

// TestLooksAtManyFilesAreRarer checks that watching uses at most 2% of a processor, and that few files are looked at as
// often as one.
func TestLooksAtManyFilesAreRarer(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: watchEvery, time.Millisecond: watchEvery, 5 * time.Millisecond: watchEvery, 20 * time.Millisecond: time.Second, time.Second: watchAtMost,
	} {
		if got := untilLook(took); got != want {
			t.Errorf("after a look of %v the next one is in %v, want %v", took, got, want)
		}
	}
}

// BenchmarkLook measures one check for changes of a configuration that includes 10,000 files.
func BenchmarkLook(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		nodetest.Write(b, filepath.Join(dir, fmt.Sprintf("t%05d.yaml", i)), "{}")
	}
	loader := &config.Loader{Patterns: []string{filepath.Join(dir, "*.yaml")}}
	for b.Loop() {
		if n := len(statesOf(loader)); n != 10_000 {
			b.Fatal(n)
		}
	}
}
