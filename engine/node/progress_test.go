package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/host"
)

func TestALoadOfMoreThanASecondIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log enginetest.Log
		checked := 0
		stop := showProgress(log.Logger(), func() host.Progress {
			checked += 10
			return host.Progress{Checked: checked, All: 40, Step: "starting module gate of tenant acme"}
		})
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("within a second: %s", log.String())
		}
		time.Sleep(1500 * time.Millisecond)
		stop()
		if lines := strings.Split(log.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], `checked=20 of=40 step="starting module gate of tenant acme" for=2s`) {
			t.Errorf("after 2.5 s: %s", log.String())
		}
	})
}

// TestAnAbandonedLoadNamesWhatItStillDoes checks that only a load that reads a file blames the file system.
func TestAnAbandonedLoadNamesWhatItStillDoes(t *testing.T) {
	cause := errors.New("the modules were not loaded within 5m0s")
	hangs := fmt.Errorf("%w: %w", files.ErrHangs, cause)
	starting := host.Progress{Checked: 7, All: 9, Step: "starting module gate of tenant acme"}
	for _, c := range []struct {
		err  error
		at   host.Progress
		want string
	}{
		{hangs, host.Progress{Step: "reading module gate", Reading: true},
			"the file system does not answer: the modules were not loaded within 5m0s: it was reading module gate"},
		{hangs, starting,
			"the modules were not loaded within 5m0s: 7 of 9 modules and configs were checked, and it was starting module gate of tenant acme: the machine is too slow or too busy for them"},
		{cause, starting, "the modules were not loaded within 5m0s"},
	} {
		if err := unfinished(c.err, cause, c.at); err.Error() != c.want || !errors.Is(err, cause) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}
