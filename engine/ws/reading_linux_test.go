package ws_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
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

// blocking is a middleware whose join hook waits until its context ends.
type blocking struct {
	hook.Middleware
	called, ended chan struct{}
}

func (blocking) Asks(h hook.Hook, _, _ string) bool { return h == hook.Join }

func (b blocking) Decide(ctx context.Context, _ *hook.Event) hook.Verdict {
	b.called <- struct{}{}
	<-ctx.Done()
	b.ended <- struct{}{}
	return hook.Verdict{}
}

// A verb ends when its client is gone, although the socket is not read meanwhile, and so do
// the requests after it.
func TestAVerbEndsWithItsClient(t *testing.T) {
	b := blocking{called: make(chan struct{}), ended: make(chan struct{})}
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		c.raw(strings.Repeat(frame(text, `{"event":"roomAdd","room":"r","messageId":1}`), 3))
		<-b.called
		c.Conn.Close()
		select {
		case <-b.ended:
		case <-time.After(timeout):
			s.Fatal("the verb did not end")
		}
		s.await("the client is gone", func(st engine.Stats) bool { return st.Connections == 0 })
	}, func(e *engine.Config, _ *ws.Config) { e.Middleware, e.Limits.VerbTimeout = b, time.Hour })
}
