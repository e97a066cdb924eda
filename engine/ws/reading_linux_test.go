package ws_test

import (
	"runtime"
	"testing"
)

func TestSilentConnectionsHaveNoGoroutine(t *testing.T) {
	s := newSite(t)
	s.dial("/ws") // all of the server runs
	before := runtime.NumGoroutine()
	for range 200 {
		s.dial("/ws")
	}
	settles(t, "goroutines", before+kept, runtime.NumGoroutine)
}
