package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// Connection is one client on one transport. The transport's reader calls Do for each
// request, one at a time, and calls Done when it ends. The other methods may be called from
// any goroutine.
type Connection struct {
	engine       *Engine
	tenant       *tenant
	reservation  *Reservation
	dialect      wire.Dialect
	actionHero   bool // see Info
	sink         Sink
	out          fanout.Outbox
	profile      atomic.Pointer[hook.Profile]
	unsanctioned atomic.Pointer[unsanctioned] // nil: unknown; see sanctioned
	joinedLast   atomic.Int64                 // time of the last join, ms since 1970
	actions      sync.WaitGroup               // running actions

	admitted atomic.Bool // false: the connection waits for its token
	keys     *keys       // used by Do only; nil: no key was used
	redirect redirect    // to its session; used by Do, and by the goroutine that moves or ends the session
	session  session
	indexed  string // guarded by Engine.mu: the user in tenant.users; "": none

	mu             sync.Mutex
	rooms          []*member // includes memberships that are beginning or ending
	params         []param   // the socket transport's sticky parameters
	bucket         bucket
	excess         bucket   // for refused requests and input that is not a request; see Pace
	releases       []string // ids of the last held messages that the client has received under a shadow sanction; see firstRelease
	totalActions   int      // actions since the connection opened
	pendingActions int      // running actions
	ended          bool
	deadline       deadline
	closed         bool           // Close was called
	why            Close          // set by the first Close
	running        []*verbContext // running verbs and actions
}

// param is a sticky parameter: a JSON value.
type param struct {
	name  string
	value json.RawMessage
}

func (e *Engine) newConnection(s *Reservation, info Info, sink Sink) *Connection {
	c := &Connection{engine: e, tenant: s.t, reservation: s, dialect: info.Dialect, actionHero: info.ActionHero, sink: sink, session: e.newSession()}
	limits := s.t.cfg().Limits
	e.writers.Open(&c.out, fanout.OutboxConfig{Sink: sink, Tenant: s.t.name, Bytes: limits.OutboxBytes, WriteTimeout: limits.WriteTimeout, Slow: c.slow, First: info.First})
	id := e.newID()
	c.profile.Store(&hook.Profile{Connection: hook.Connection{
		ID:          id,
		Fingerprint: cmp.Or(info.Fingerprint, id),
		Transport:   info.Transport,
		RemoteIP:    info.RemoteIP,
		RemotePort:  info.RemotePort,
		Tenant:      s.t.name,
		Locale:      info.Locale,
		ConnectedAt: time.Now().UnixMilli(),
	}})
	return c
}

// ID returns the connection's id, which is unique in the cluster.
func (c *Connection) ID() string { return c.profile.Load().ID }

// Profile returns the data of the connection that modules may see, as it is now.
func (c *Connection) Profile() *hook.Profile { return c.profile.Load() }

// MessageBytes returns the current limit for the length of a frame or line from the client.
func (c *Connection) MessageBytes() int { return c.tenant.cfg().Limits.MessageBytes }

// Receive adds change, in bytes, to the memory that counts for a message of which only a part has arrived; a negative
// change frees memory. It reports whether such messages of all clients of the tenant stay within the tenant's part of
// [Limits.OutboxMemory]. If not, the transport closes the connection with CloseIncomplete. Before Done the
// transport must free all that it has added.
func (c *Connection) Receive(change int) bool { return c.out.Receive(change) }

// Send sends a frame after all frames that were sent before it.
func (c *Connection) Send(f *wire.Frame) { c.out.Send(f) }

// SendRaw sends bytes in the form of the transport, such as a WebSocket control frame. The
// caller must not change them afterwards.
func (c *Connection) SendRaw(b []byte) { c.out.SendBytes(b) }

// Reject answers invalid input with an error. A nil id leaves messageId out. Invalid input
// counts against the rate limit like a verb.
func (c *Connection) Reject(text string, id json.RawMessage) {
	if c.closing() {
		return
	}
	c.engine.stats.rejected.Add(1)
	if wait := c.pay(&wire.Request{}); wait > 0 {
		c.limited(wire.Response{ID: id}, wait)
		return
	}
	c.respond(wire.Response{ID: id, Error: text})
}

func (c *Connection) respond(r wire.Response) {
	c.out.Send(wire.NewFrame(len(r.Data)+len(r.Reply), func(dst []byte) []byte { return c.dialect.AppendResponse(dst, r) }))
}

// Close begins to close the connection and does not wait: it cancels running verbs, sends
// the waiting frames and the farewell, and closes the socket. Only the first call sets the
// reason.
func (c *Connection) Close(why Close) {
	if c.engine.endAway(c) {
		return
	}
	if why == CloseShutdown { // by the transport, which does not know the other connections
		why.RetryAfter = returnInterval
	}
	c.mu.Lock()
	first := c.why == Close{}
	if first {
		c.why = why
	}
	c.closed = true
	c.mu.Unlock()
	if !first {
		return
	}
	c.cancelVerbs()
	if farewell := c.sink.Farewell(why); farewell != nil {
		c.out.EndSoon(farewell)
	} else {
		c.out.End(nil)
	}
}

// bound gives the outbox the tenant's current limits.
func (c *Connection) bound() {
	limits := c.tenant.cfg().Limits
	c.out.SetLimits(limits.OutboxBytes, limits.WriteTimeout)
}

// plain returns 1 for a client of ActionHero, whose messages have neither an id nor a user, and
// 0 for other clients.
func (c *Connection) plain() int32 {
	if c.actionHero {
		return 1
	}
	return 0
}

func (c *Connection) closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// slow runs when the outbox gives up the reader.
func (c *Connection) slow() {
	c.mu.Lock()
	if c.why == (Close{}) {
		c.why = CloseSlowReader
	}
	c.closed = true
	c.mu.Unlock()
	c.cancelVerbs()
	c.engine.stats.slowReaders.Add(1)
	c.engine.log.Warn("slow reader closed", "connection", c.ID(), "tenant", c.tenant.name, "code", CloseSlowReader.Code)
}

// Done ends the connection after its socket was closed: the connection leaves all rooms,
// the disconnect chain runs, and the reservation is released. Done waits for all of this,
// even if ctx has ended. If the session can be resumed, Done returns earlier, and all of
// this happens when the session ends.
func (c *Connection) Done(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	c.Close(Close{})
	c.mu.Lock()
	c.ended = true // no join begins after this
	code := c.why.Code
	c.mu.Unlock()
	c.engine.stats.countClosed(code)
	c.actions.Wait()
	c.clearDeadline()
	c.mu.Lock()
	why := c.why
	c.mu.Unlock()
	if !c.engine.markAway(ctx, c, why) {
		c.engine.finish(ctx, c)
	}
}

// finish ends a connection: it leaves its rooms, runs the disconnect chain and releases its
// resources.
func (e *Engine) finish(ctx context.Context, c *Connection) {
	cause := hook.CauseDisconnect
	if c.sanction(moderation.Ban, "") != nil {
		cause = hook.CauseRemoved
	}
	for _, m := range c.memberships() {
		e.leave(ctx, c, m.room.id.Room, cause)
	}
	if c.admitted.Load() {
		e.disconnect(ctx, c.tenant, c.profile.Load())
	}
	if !e.closing.Load() { // while the node closes, the redirect may stay: it leads to a session that has ended
		e.removeRedirect(ctx, c)
	}
	e.release(c) // must be last, because closeAll waits for it
}

// disconnect runs the disconnect chain for a connection that has left its rooms. t is nil
// if its tenant was removed: effects are then not applied.
func (e *Engine) disconnect(ctx context.Context, t *tenant, p *hook.Profile) {
	v := e.decide(ctx, &hook.Event{Hook: hook.Disconnect, Tenant: p.Tenant, Conn: p})
	if err := refusal(&v); err != nil {
		e.log.Info("disconnect hook denied, the connection ends nevertheless", "connection", p.ID, "tenant", p.Tenant, "module", v.Module, "reason", err)
	}
	if t != nil {
		e.applyAll(ctx, t, nil, v.Effects)
	}
}

// memberships returns all memberships, including those that are beginning or ending.
func (c *Connection) memberships() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.rooms)
}

// membershipIn returns the membership in the room, including one that is beginning or
// ending; nil if there is none. The caller holds mu.
func (c *Connection) membershipIn(name string) *member {
	for _, m := range c.rooms {
		if m.room.id.Room == name {
			return m
		}
	}
	return nil
}

// membership returns the membership in the room if the connection is a member, else nil.
func (c *Connection) membership(name string) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.membershipIn(name); m != nil && m.stage != joining {
		return m
	}
	return nil
}

// isIn reports whether the connection is a member of the room.
func (c *Connection) isIn(name string) bool { return c.membership(name) != nil }

// joinedAt returns the time when the connection joined the room, in ms since 1970; 0 if it
// is not a member.
func (c *Connection) joinedAt(name string) int64 {
	if m := c.membership(name); m != nil {
		return m.joinedAt
	}
	return 0
}

// Rooms returns the names of the connection's rooms, in the order of joining.
func (c *Connection) Rooms() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.rooms))
	for _, m := range c.rooms {
		if m.stage != joining {
			names = append(names, m.room.id.Room)
		}
	}
	return names
}

// endStage ends the current stage of a membership: it is joined, or it has ended.
func (c *Connection) endStage(m *member, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if over {
		c.rooms = slices.DeleteFunc(c.rooms, func(o *member) bool { return o == m })
	} else {
		m.stage = joined
	}
	if m.settled != nil {
		close(m.settled)
		m.settled = nil
	}
}

// wait waits for the end of the current stage of m. The caller holds mu; wait releases it.
func (c *Connection) wait(ctx context.Context, m *member) error {
	if m.settled == nil {
		m.settled = make(chan struct{})
	}
	settled := m.settled
	c.mu.Unlock()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxProperties is the limit for the properties of a connection, in bytes of names and
// values.
const maxProperties = 16 << 10

// set changes properties. It fails for a property that is a claim of the token.
func (c *Connection) set(changes ...hook.Property) error {
	defer c.profileChanged()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.profile.Load()
	next := slices.Clone(old.Properties)
	for _, p := range changes {
		at, found := slices.BinarySearchFunc(next, p.Name, func(n hook.NamedProperty, name string) int {
			return strings.Compare(n.Name, name)
		})
		switch {
		case found && next[at].Claim:
			return &VerbError{Text: "property " + p.Name + " comes from the token and cannot be changed"}
		case found && p.Value == nil:
			next = slices.Delete(next, at, at+1)
		case found:
			next[at].Value = p.Value
		case p.Value != nil:
			next = slices.Insert(next, at, hook.NamedProperty{Property: p})
		}
	}
	return c.store(old.User, old.UserGiven, next)
}

// profileChanged makes the connection's rooms use the new profile.
func (c *Connection) profileChanged() {
	for _, m := range c.memberships() {
		m.room.dropSnapshot()
	}
}

// store replaces the profile by one with this user and these properties. given reports that a module has named
// the user. properties are sorted by name. The caller holds mu.
func (c *Connection) store(user string, given bool, properties []hook.NamedProperty) error {
	size := 0
	for _, p := range properties {
		size += len(p.Name) + len(p.Value)
	}
	if size > maxProperties {
		return &VerbError{Text: "properties too large"}
	}
	next := &hook.Profile{Connection: c.profile.Load().Connection}
	next.User, next.UserGiven, next.Properties = user, given, properties
	c.profile.Store(next)
	return nil
}
