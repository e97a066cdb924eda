package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// SeatRequest is what is known of a client before it is let in.
type SeatRequest struct {
	Tenant   string // by name
	RemoteIP string // counts against ConnectionsPerIP; "" does not
}

// Seat holds a place for a connection that is about to open, so that a node that
// is full can say so before an upgrade.
type Seat struct {
	e    *Engine
	t    *tenant
	ip   string
	used atomic.Bool
}

// Refusal is why a connection was not let in.
type Refusal struct {
	Message    string        // for the client
	RetryAfter time.Duration // 0: it makes no sense to come back
}

func (r *Refusal) Error() string { return r.Message }

// fullRetry is when a client that found no room may come back.
const fullRetry = 5 * time.Second

// Seat takes a place for a connection. The error is a *Refusal.
func (e *Engine) Seat(r SeatRequest) (*Seat, error) {
	t := e.settings.Load().tenants[r.Tenant]
	if t == nil {
		return nil, &Refusal{Message: fmt.Sprintf("there is no tenant %q here", r.Tenant)}
	}
	limits := e.Limits()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing.Load():
		return nil, &Refusal{"the server is shutting down", fullRetry}
	case t.gone != nil:
		return nil, &Refusal{Message: fmt.Sprintf("the tenant %q is being removed", t.name)}
	case e.seats >= limits.Connections, t.cfg().Connections > 0 && t.connections >= t.cfg().Connections:
		e.stats.refused.Add(1)
		return nil, &Refusal{"too many connections", fullRetry}
	case r.RemoteIP != "" && limits.ConnectionsPerIP > 0 && e.perIP[r.RemoteIP] >= limits.ConnectionsPerIP:
		e.stats.refused.Add(1)
		return nil, &Refusal{"too many connections from this address", fullRetry}
	}
	e.seats++
	t.connections++
	if r.RemoteIP != "" {
		e.perIP[r.RemoteIP]++ // also without a limit: there may be one tomorrow
	}
	return &Seat{e: e, t: t, ip: r.RemoteIP}, nil
}

// Tenant is the seat's tenant by name.
func (s *Seat) Tenant() string { return s.t.name }

// Release gives the place back if the connection did not open. After Open it
// does nothing.
func (s *Seat) Release() {
	if s.used.CompareAndSwap(false, true) {
		s.free()
	}
}

func (s *Seat) free() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.e.seats--
	if s.t.connections--; s.t.connections == 0 && s.t.gone != nil {
		close(s.t.gone)
	}
	if s.ip != "" {
		if s.e.perIP[s.ip]--; s.e.perIP[s.ip] == 0 {
			delete(s.e.perIP, s.ip)
		}
	}
}

// Info is what a transport knows of a connection.
type Info struct {
	Transport   string // "websocket" or "socket"
	Dialect     wire.Dialect
	Fingerprint string // "": the connection's id
	RemoteIP    string
	RemotePort  int
	Locale      string // a language tag; "": unknown
}

// Open makes the connection: it runs the connect chain and sends the welcome.
// The transport then reads, gives what it reads to Do, and calls Done at the end.
//
// On an error, which is a Close, there is no connection: the transport says
// farewell and ends the socket, and the place is free again.
func (s *Seat) Open(ctx context.Context, info Info, sink Sink) (*Connection, error) {
	if !s.used.CompareAndSwap(false, true) {
		panic("engine: Open on a seat that is taken or released")
	}
	c := s.e.newConnection(s, info, sink)
	v := s.e.decide(ctx, &Event{Hook: HookConnect, Tenant: c.tenant.name, Conn: c.profile.Load()})
	if err := v.refusal(); err != nil {
		s.free()
		if v.Outcome == Failed {
			return nil, CloseFailed
		}
		return nil, Close{CloseDenied.Code, err.Error()}
	}
	later := s.e.applyNow(ctx, c.tenant, c, v.Effects, false)
	if err := s.e.register(c); err != nil {
		s.free()
		return nil, err
	}
	c.out.bound(s.e.Limits()) // a swap that came between has passed it over
	c.out.send(s.e.welcome)
	s.e.applyLater(ctx, c.tenant, later, false)
	return c, nil
}
