package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// faultLog returns a logger like that of a node, and its output.
func faultLog() (*slog.Logger, *bytes.Buffer) {
	out, redactor := new(bytes.Buffer), new(atomic.Pointer[strings.Replacer])
	redactor.Store(strings.NewReplacer())
	return slog.New(logHandler(slog.NewTextHandler(out, nil), redactor)), out
}

// TestARepeatedFaultIsLoggedOnce checks that equal faults are logged once in ten seconds, then with the
// number of records that were left out, and that other records are always logged.
func TestARepeatedFaultIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := faultLog()
		lines := func() []string {
			defer out.Reset()
			return strings.Split(strings.TrimSpace(out.String()), "\n")
		}
		for i := range 1000 {
			log.With("node", "a").Warn("cluster operation failed", "room", i, "error", errors.New("redis is away"))
		}
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], "redis is away") || strings.Contains(got[0], "repeated") {
			t.Fatalf("%d lines: %.300q", len(got), got)
		}
		log.Warn("cluster operation failed", "error", errors.New("another cause"))
		log.Error("verb failed", "error", errors.New("redis is away"))
		for range 5 {
			log.Warn("no cause")
			log.Info("a note", "error", errors.New("redis is away"))
		}
		if got := lines(); len(got) != 12 {
			t.Errorf("%d lines, want 12: %q", len(got), got)
		}
		time.Sleep(repeatTime)
		log.Warn("cluster operation failed", "error", errors.New("redis is away"))
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], "repeated=999") {
			t.Errorf("after ten seconds: %q", got)
		}
	})
}

// TestDifferentFaultsWithoutEndAreBounded checks that a peer whose error texts are all different
// cannot fill the log, and that long texts are cut.
func TestDifferentFaultsWithoutEndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := faultLog()
		long := strings.Repeat("ü", 512<<10)
		for i := range 3000 {
			log.Warn("cluster operation failed", "error", fmt.Errorf("%d %s", i, long))
		}
		if n := strings.Count(out.String(), "\n"); n != maxFailures+1 {
			t.Errorf("%d lines, want %d", n, maxFailures+1)
		}
		if n := out.Len(); n > (maxFailures+1)*(maxLogText+200) {
			t.Errorf("%d bytes", n)
		}
		time.Sleep(repeatTime)
		out.Reset()
		log.Warn("cluster operation failed", "error", errors.New("new"))
		if !strings.Contains(out.String(), "error=new") {
			t.Errorf("a new fault is not logged: %q", out)
		}
		log.Info(long, "text", long, slog.Group("g", "text", long))
		if n := out.Len(); n > 3*(maxLogText+10)+400 {
			t.Errorf("a record has %d bytes", n)
		}
	})
}
