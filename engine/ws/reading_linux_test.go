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
	s.dial("/ws") // all of the server runs
	before := runtime.NumGoroutine()
	for range 200 {
		s.dial("/ws")
	}
	settles(t, "goroutines", before+kept, runtime.NumGoroutine)
}

// departing is a middleware whose join hook waits until nobody waits for it.
type departing struct {
	hook.Middleware
	came, left chan struct{}
}

func (departing) Asks(h hook.Hook, _, _ string) bool { return h == hook.Join }

func (d departing) Decide(ctx context.Context, _ *hook.Event) hook.Verdict {
	d.came <- struct{}{}
	<-ctx.Done()
	d.left <- struct{}{}
	return hook.Verdict{}
}

// A verb ends when its client has gone, though nobody reads the socket meanwhile; so do
// those that the client had sent behind it.
func TestAVerbEndsWithItsClient(t *testing.T) {
	d := departing{came: make(chan struct{}), left: make(chan struct{})}
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		c.raw(strings.Repeat(frame(text, `{"event":"roomAdd","room":"r","messageId":1}`), 3))
		<-d.came
		c.Conn.Close()
		select {
		case <-d.left:
		case <-time.After(patience):
			s.Fatal("the verb goes on")
		}
		s.await("the client is gone", func(st engine.Stats) bool { return st.Connections == 0 })
	}, func(e *engine.Config, _ *ws.Config) { e.Middleware, e.Limits.VerbTimeout = d, time.Hour })
}
