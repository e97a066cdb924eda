package files

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAStampChangesWithTheContentWhateverTheTimeOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, []byte("one"), 0o600))
	if s := new(Waiter).Stamps(t.Context(), []string{path}); s[0] != (Stamp{}) {
		t.Error("a file that has just changed has a stamp: it may change again at the same time")
	}
	later := func() Stamp {
		t.Helper()
		info, err := os.Stat(path)
		must(t, err)
		return stampOf(info, time.Now().Add(2*settled))
	}
	first := later()
	if first == (Stamp{}) {
		if runtime.GOOS == "linux" {
			t.Error("a settled file has no stamp")
		}
		return // the file is always read here
	}
	if later() != first {
		t.Error("the stamp of the same file differs")
	}
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("two"), 0o600))
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	if later() == first {
		t.Error("the stamp is the same, although the content differs")
	}
}

func TestFilesThatDoNotExistHaveNoStamp(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} {
		if s := new(Waiter).Stamps(ctx, []string{filepath.Join(t.TempDir(), "nowhere")}); len(s) != 1 || s[0] != (Stamp{}) {
			t.Errorf("%v", s)
		}
	}
}
