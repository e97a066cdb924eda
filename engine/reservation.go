package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// ReservationRequest describes a client before it is accepted.
type ReservationRequest struct {
	Tenant   string // the name of the tenant
	RemoteIP string // counts against ConnectionsPerIP; "" does not count
}

// Reservation holds a place for a connection that is about to open, so that a full node
// can refuse it before an upgrade.
type Reservation struct {
	e    *Engine
	t    *tenant
	ip   string
	used atomic.Bool

	resumeOnly bool // the reservation has no place; used by Do and Done only
	moderated  bool // it needs the sanctions of the tenant
}

// Refusal is the reason why a connection was not accepted.
type Refusal struct {
	Message    string        // for the client
	RetryAfter time.Duration // 0: a later attempt would fail too
}

func (r *Refusal) Error() string { return r.Message }

// fullRetry is the time after which a refused client may try again.
const fullRetry = 5 * time.Second

// faultyRetry is the time after which a client of a tenant that is not configured correctly may try again.
const faultyRetry = 30 * time.Second

// notConfigured refuses the clients of a tenant with TenantConfig.Faulty.
const notConfigured = "tenant is not configured correctly"

// Reserve takes a place for a connection. The error is a *Refusal.
func (e *Engine) Reserve(r ReservationRequest) (*Reservation, error) {
	t := e.settings.Load().tenants[r.Tenant]
	if t == nil {
		return nil, &Refusal{Message: fmt.Sprintf("there is no tenant %q here", r.Tenant)}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Load() {
		return nil, &Refusal{"the server is shutting down", fullRetry}
	}
	if t.gone != nil {
		return nil, &Refusal{Message: fmt.Sprintf("the tenant %q is being removed", t.name)}
	}
	if t.cfg().Faulty {
		e.stats.refused.Add(1)
		return nil, &Refusal{notConfigured, faultyRetry}
	}
	why := e.takePlace(t, r.RemoteIP)
	guest := why != "" && t.admitToResume()
	if why != "" && !guest {
		e.stats.refused.Add(1)
		return nil, &Refusal{why, fullRetry}
	}
	return &Reservation{e: e, t: t, ip: r.RemoteIP, resumeOnly: guest}, nil
}

// Tenant returns the name of the tenant.
func (s *Reservation) Tenant() string { return s.t.name }

// Release returns the place if the connection was not opened. After Open it does nothing.
func (s *Reservation) Release() {
	if s.used.CompareAndSwap(false, true) {
		s.free()
	}
}

func (s *Reservation) free() {
	if s.moderated && s.e.moderation != nil {
		s.e.dropSanctions(s.t)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.resumeOnly {
		s.t.quota.resumeOnly--
		return
	}
	s.e.givePlace(s.t, s.ip)
	if s.t.quota.taken == 0 && s.t.gone != nil {
		close(s.t.gone)
	}
}

// replacedBy frees the place of s and returns the reservation of another connection.
func (s *Reservation) replacedBy(other *Reservation) *Reservation {
	s.free()
	return other
}

// Info describes a connection, for the engine.
type Info struct {
	Transport   string // "websocket" or "socket"
	Dialect     wire.Dialect
	Fingerprint string // "": the connection's id is used
	RemoteIP    string
	RemotePort  int
	Locale      string // a language tag; "": unknown
	ActionHero  bool   // the client is ActionHero's: it does not know gap notices and receives none
	First       []byte // sent before all frames, in one write with the first of them; nil: nothing. The connection then owns it

	Token        string // "": none
	TokenFollows bool   // the client can send a token later with the verb auth
}

// Open opens the connection: it checks the token, runs the connect chain and sends the
// welcome. The transport then reads, passes each request to Do, and calls Done at the end.
// If a required token follows later, the chain and the welcome wait for it. The connection
// ends if no token arrives.
//
// The error is a Close. There is then no connection: the transport sends info.First and the
// farewell, and closes the socket, and the place in the quota is free again.
func (s *Reservation) Open(ctx context.Context, info Info, sink Sink) (*Connection, error) {
	if !s.used.CompareAndSwap(false, true) {
		panic("engine: Open of a reservation that was opened or released")
	}
	c := s.e.newConnection(s, info, sink)
	if err := c.open(ctx, info); err != nil {
		c.out.Release()
		s.free()
		return nil, err
	}
	return c, nil
}

// open accepts the connection, now or when its token has arrived. The error is a Close.
func (c *Connection) open(ctx context.Context, info Info) error {
	running := c.startVerb(ctx)
	running.opening = true
	defer running.stop()
	if err := c.engine.needSanctions(running, c.tenant); err != nil {
		c.engine.log.Warn("a client was refused: the sanctions of its tenant could not be read", "tenant", c.tenant.name, "error", err)
		return CloseUnavailable
	}
	c.reservation.moderated = true
	id, later, err := c.authenticate(running, info)
	if err != nil {
		return err
	}
	if later {
		return c.awaitToken(running)
	}
	if err := c.runConnect(running); err != nil {
		return err
	}
	c.closeWithToken(id.Expires)
	return nil
}

// runConnect runs the connect chain and accepts the connection. The error is a Close.
func (c *Connection) runConnect(ctx context.Context) error {
	if err := c.refusedBy(moderation.Ban, ""); err != nil {
		return Close{Code: CloseBanned.Code, Reason: err.Error()}
	}
	v := c.engine.decide(ctx, &hook.Event{Hook: hook.Connect, Tenant: c.tenant.name, Conn: c.profile.Load(), Waiter: (*connectWaiter)(c.reservation)})
	if err := refusal(&v); err != nil {
		if v.Outcome == hook.Failed {
			return Close{Code: CloseFailed.Code, Reason: err.Error(), RetryAfter: v.RetryAfter}
		}
		return Close{Code: CloseDenied.Code, Reason: err.Error()}
	}
	later := c.engine.applyNow(ctx, c.tenant, c, v.Effects, false)
	if err := c.refusedBy(moderation.Ban, ""); err != nil { // a module may have named the user
		return Close{Code: CloseBanned.Code, Reason: err.Error()}
	}
	c.admitted.Store(true)
	if err := c.engine.register(c); err != nil {
		return err
	}
	c.engine.sessions.add(c)
	if c.closeIfBanned() { // by a ban that arrived before the connection was registered
		return nil
	}
	c.bound()                                       // a swap may have changed the limits before the connection was registered
	c.out.SendBytes(c.sink.Bytes(c.engine.welcome)) // the frame is that of all tenants
	c.engine.applyLater(ctx, c.tenant, later, false)
	return nil
}

// awaitToken registers the connection. The verb auth later calls letIn. The error
// is a Close.
func (c *Connection) awaitToken(context.Context) error {
	if err := c.engine.register(c); err != nil {
		return err
	}
	c.out.SendBytes(nil) // sends info.First
	c.setDeadline(time.Now().Add(tokenTime), Close{Code: CloseToken.Code, Reason: "token missing"})
	return nil
}
