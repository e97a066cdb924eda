package hostile

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
)

// town is a world with an engine in front of its host, in which the tenants chat.
type town struct {
	*world
	*engine.Engine
	stop func()
}

// settle starts a town. Each tenant has the rooms r, r0, r1 and so on.
func settle(t testing.TB) *town {
	t.Helper()
	return settleWith(t, host.Config{Cache: cache, Awake: true})
}

func settleWith(t testing.TB, cfg host.Config) *town {
	t.Helper()
	w := openWith(t, cfg)
	starting := []string{"r"}
	for n := range 12 {
		starting = append(starting, fmt.Sprintf("r%d", n))
	}
	e := enginetest.Start(t, func(c *engine.Config) {
		c.Tenants = []engine.TenantConfig{{Name: "good", StartingRooms: starting}, {Name: "hostile", StartingRooms: starting}}
		c.Limits.VerbsPerSecond, c.Middleware = 1e6, w.Host
	})
	return &town{world: w, Engine: e.Engine, stop: sync.OnceFunc(func() { e.Stop(); w.end() })}
}

// client is a connection with the answers and the chat messages that it receives.
type client struct {
	*engine.Connection
	t    testing.TB
	sink *sink
}

// visit opens a connection.
func (tn *town) visit(tenant string) (*client, error) {
	seat, err := tn.Reserve(engine.ReservationRequest{Tenant: tenant})
	if err != nil {
		return nil, err
	}
	c := &client{t: tn.t, sink: &sink{answers: make(chan string, 1<<10), chat: make(chan string, 1<<10), closed: make(chan struct{})}}
	c.Connection, err = seat.Open(context.Background(), engine.Info{Transport: "socket", Dialect: wire.Socket}, c.sink)
	return c, err
}

// member opens a connection that joins a room.
func (tn *town) member(tenant, room string) *client {
	tn.t.Helper()
	c, err := tn.visit(tenant)
	tn.must(err)
	if answer := c.asks("roomAdd " + room); !ok(answer) {
		tn.t.Fatalf("%s cannot join %s: %s", tenant, room, answer)
	}
	return c
}

// asks sends a request and returns its answer.
func (c *client) asks(line string) string {
	c.t.Helper()
	r, err := wire.ParseLine([]byte(line))
	if err != nil {
		c.t.Errorf("%s: %v", line, err)
		return ""
	}
	c.Do(context.Background(), r)
	return c.next(c.sink.answers)
}

func ok(answer string) bool { return strings.Contains(answer, `"status":"OK"`) }

func (c *client) next(lines <-chan string) string {
	c.t.Helper()
	select {
	case line := <-lines:
		return line
	case <-time.After(patience):
		c.t.Error("nothing was received")
		return ""
	}
}

// sink is a socket that accepts all frames.
type sink struct {
	mu            sync.Mutex
	rest          []byte
	answers, chat chan string // a full one drops messages
	once          sync.Once
	closed        chan struct{}
}

func (s *sink) TryWrite(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\r\n"))
		if !whole {
			return len(p), nil
		}
		s.rest = rest
		to := s.chat
		switch {
		case bytes.Contains(line, []byte(`"context":"response"`)):
			to = s.answers
		case !bytes.Contains(line, []byte(`"context":"user"`)):
			continue // the welcome
		}
		select {
		case to <- string(line):
		default:
		}
	}
}

func (s *sink) Write(p []byte) (int, error)      { return s.TryWrite(p) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Bytes(f *wire.Frame) []byte       { return f.Line() }
func (s *sink) Farewell(engine.Close) []byte     { return nil }

func (s *sink) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (c *client) isClosed() bool {
	select {
	case <-c.sink.closed:
		return true
	default:
		return false
	}
}
