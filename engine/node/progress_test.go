package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoadOfMoreThanASecondIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		checked := 0
		stop := showProgress(slog.New(slog.NewTextHandler(&log, nil)), func() (int, int) { checked += 10; return checked, 40 })
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if log.Len() > 0 {
			t.Errorf("within a second: %s", &log)
		}
		time.Sleep(1500 * time.Millisecond)
		stop()
		if lines := strings.Split(log.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[1], "checked=20 of=40 for=2s") {
			t.Errorf("after 2.5 s: %s", &log)
		}
	})
}
