package ws_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/ws"
)

func TestRequestsKeepTheirOrder(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		const requests = 2000
		var all strings.Builder
		for i := range requests {
			all.WriteString(frame(text, nope(fmt.Sprint(i))))
		}
		go func() {
			for rest := all.String(); rest != ""; { // in random segments
				n := min(len(rest), 1+rand.IntN(5000))
				c.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
		}()
		for i := range requests {
			c.wants(notThere(fmt.Sprint(i)))
		}
	})
}

func TestPingsOfSilentClientsAreAnswered(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		for i := range 100 {
			payload := strings.Repeat("p", i)
			c.raw(frame(pong, "") + frame(ping, payload))
			c.wantsAll([]received{{pong, payload}})
		}
	})
}

func TestIncompleteMessageTimesOut(t *testing.T) {
	everywhere(t, func(s *site) {
		for _, half := range []string{
			frame(text, "")[:1], frame(text, "x")[:3], frame(text, nope("x"))[:20], frame(text, strings.Repeat("x", 10_000))[:9000],
			frame(ping, "x")[:1], frame(ping, "hello")[:8], frame(closing, "")[:5],
			frame(startText, "{"), frame(startText, "{") + frame(more, "") + frame(pong, ""), frame(text, nope("x")) + frame(text, nope("y"))[:30],
		} {
			c := s.dial("/ws")
			c.raw(half)
			if strings.HasPrefix(half, frame(text, nope("x"))) {
				c.wants(notThere("x"))
			}
			c.wantsClose(3009, "message took too long")
		}
	}, func(_ *engine.Config, c *ws.Config) { c.MessageTimeout = 20 * time.Millisecond })
}

// TestSlowMessageLeavesNoDeadline checks that the deadline of a message does not apply
// after the message.
func TestSlowMessageLeavesNoDeadline(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		slow := frame(text, nope(strings.Repeat("x", 300)))
		for range 3 {
			c.raw(slow[:200])
			c.raw(slow[200:])
			for { // the answer; a ping may arrive first
				first, got := c.receive()
				if first == ping {
					c.raw(frame(pong, ""))
					continue
				}
				if first != text || got != notThere(strings.Repeat("x", 300)) {
					s.Fatalf("received %#x %q, want the answer", first, got)
				}
				break
			}
			for range 4 { // twice the timeout
				if first, _ := c.receive(); first != ping {
					s.Fatalf("received %#x, want a ping", first)
				}
				c.raw(frame(pong, ""))
			}
		}
	}, func(_ *engine.Config, c *ws.Config) {
		c.PingInterval, c.MessageTimeout = 250*time.Millisecond, 500*time.Millisecond
	})
}

func TestSlowRequestsDoNotDelayOthers(t *testing.T) {
	const slow = 100
	called, open := make(chan struct{}), make(chan struct{})
	blocking := new(enginetest.Middleware).On(hook.Join, func(context.Context, *hook.Event) hook.Verdict {
		called <- struct{}{}
		<-open
		return hook.Verdict{}
	})
	s := newSite(t, func(e *engine.Config, _ *ws.Config) { e.Middleware = blocking })
	var waiting []*client
	for range slow {
		c := s.dial("/ws")
		c.send(`{"event":"roomAdd","room":"r","messageId":1}`)
		c.send(nope("next")) // waits for the first request
		<-called
		waiting = append(waiting, c)
	}
	other := s.dial("/ws")
	other.send(nope("on"))
	other.wants(notThere("on"))
	close(open)
	for _, c := range waiting {
		c.wants(`{"status":"OK","context":"response","data":true,"messageId":1}`)
		c.wants(notThere("next"))
	}
}

// TestChurn opens and closes thousands of connections in each way. It checks that each
// client receives only its own frames, although sockets reuse file descriptors, and
// that no goroutine and no file stays open.
func TestChurn(t *testing.T) {
	for name, reading := range map[string]stream.Reading{"polled": stream.Polled, "a goroutine each": stream.Goroutines} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(_ *engine.Config, c *ws.Config) { c.Reading = reading })
			s.dial("/ws").Close()
			settles(t, "connections", 0, func() int { return s.engine.Stats().Connections })
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			var wg sync.WaitGroup
			for worker := range 20 {
				wg.Go(func() {
					for i := range 100 {
						s.visit(fmt.Sprintf("%d of %d", i, worker), i)
					}
				})
			}
			wg.Wait()
			settles(t, "connections", 0, func() int { return s.engine.Stats().Connections })
			settles(t, "goroutines", goroutines+maxIdle, runtime.NumGoroutine)
			settles(t, "open files", files, func() int { return openFiles(t) })
		})
	}
}

// visit connects, sends requests, and closes the connection; way selects how.
func (s *site) visit(name string, way int) {
	c, err := s.socket()
	if err != nil {
		s.Error(err)
		return
	}
	defer c.Close()
	io.WriteString(c, s.handshake("/ws"))
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		s.Errorf("%v, %v", res, err)
		return
	}
	c.next() // the welcome
	for k := range 3 {
		id := fmt.Sprintf("%s: %d", name, k)
		c.Write([]byte(frame(ping, id) + frame(text, nope(id))))
		for _, want := range []received{{pong, id}, {text, notThere(id)}} {
			if first, got, err := c.next(); (received{first, got}) != want {
				s.Errorf("%s received %#x %q, %v, want %q", name, first, got, err, want)
				return
			}
		}
	}
	switch way % 4 {
	case 0:
		c.Write([]byte(frame(closing, "")))
		c.next()
	case 1:
		c.Write([]byte(frame(text, nope("half"))[:10]))
	case 2:
		c.Write([]byte(frame(text, `{"event":"quit"}`) + frame(text, nope("late"))))
	}
}

func openFiles(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// maxIdle is the number of idle goroutines that a server keeps.
const maxIdle = 32

// settles waits until n returns at most want.
func settles(t *testing.T, what string, want int, n func() int) {
	t.Helper()
	for end := time.Now().Add(timeout); n() > want; runtime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d %s, want %d\n%s", n(), what, want, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
