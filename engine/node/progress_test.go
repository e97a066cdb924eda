package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/enginetest"
)

func TestALoadOfMoreThanASecondIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log enginetest.Log
		checked := 0
		stop := showProgress(log.Logger(), func() (int, int) { checked += 10; return checked, 40 })
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("within a second: %s", log.String())
		}
		time.Sleep(1500 * time.Millisecond)
		stop()
		if lines := strings.Split(log.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "checked=20 of=40 for=2s") {
			t.Errorf("after 2.5 s: %s", log.String())
		}
	})
}
