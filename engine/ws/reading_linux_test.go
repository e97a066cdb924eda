package ws_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/ws"
)

func TestSilentConnectionsHaveNoGoroutine(t *testing.T) {
	s := newSite(t)
	s.dial("/ws") // the server is warm
	before := runtime.NumGoroutine()
	for range 200 {
		s.dial("/ws")
	}
	settles(t, "goroutines", before+maxIdle, runtime.NumGoroutine)
}

// TestAVerbEndsWithItsClient checks that a verb ends when its client disconnects,
// although the socket is not read meanwhile. The requests after it end too.
func TestAVerbEndsWithItsClient(t *testing.T) {
	called, ended := make(chan struct{}), make(chan struct{})
	blocking := new(enginetest.Middleware).On(hook.Join, func(ctx context.Context, _ *hook.Event) hook.Verdict {
		called <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return hook.Verdict{}
	})
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		c.raw(strings.Repeat(frame(text, `{"event":"roomAdd","room":"r","messageId":1}`), 3))
		<-called
		c.Conn.Close()
		select {
		case <-ended:
		case <-time.After(timeout):
			s.Fatal("the verb did not end")
		}
		s.await("the client is gone", func(st engine.Stats) bool { return st.Connections == 0 })
	}, func(e *engine.Config, _ *ws.Config) { e.Middleware, e.Limits.VerbTimeout = blocking, time.Hour })
}
