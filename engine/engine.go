// Package engine implements the rules of chat: tenants, rooms, members, verbs, sessions,
// and the order of messages. It has no sockets, no YAML, no modules and no Redis.
// Transports provide a [Sink] for each connection, a [hook.Middleware] decides about
// events, and a [cluster.Backend] connects the node to the other nodes.
//
// # The life of a message
//
// A transport reads a frame and calls [Connection.Do]. The verb say enters the queue of
// the room, calls the middleware once (onSayReceive), and publishes the payload. The
// cluster calls [Engine.Deliver] on each node with members of the room. Deliver calls the
// middleware for the members (say), encodes one frame for each distinct answer, and posts
// the frames to package fanout, which writes them to the sockets of the members.
//
// # Locks
//
// Each line is a lock order, outermost first: a lock may be taken while the one before
// it in the line is held. No other lock may be held while a lock is taken. Gate, Outbox,
// writer, polling and memory are in package fanout.
//
//	verbContext.mu, Connection.mu
//	Gate.mu, Outbox.mu
//	Engine.mu
//	tenant.mu
//	keys.mu
//	backlog.mu, sanctions.mu
//	parkedBans.mu
//	closedUsers.mu
//	room.mu
//	sessions.mu
//	pendingNotices.mu
//	stats.mu
//	queue.mu
//	writer.mu
//	polling.mu
//	memory.mu
//
// No lock is held while rules, the cluster or a socket are called. Operations that must
// keep their order across such a call wait in a queue.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// Config configures an engine.
type Config struct {
	Name       string // in the welcome; "": moot
	Tenants    []TenantConfig
	Limits     Limits
	Middleware hook.Middleware // nil: everything is allowed
	Cluster    cluster.Backend
	Operator   Operator         // nil: questions from operators of other nodes fail
	Tracer     Tracer           // nil: verbs are not traced
	Moderation moderation.Store // nil: there are no sanctions
	Review     review.Store     // nil: a message that a rule holds is denied, and reports are refused
	Events     events.Taker     // nil: sinks receive no events
	Rings      []fanout.Ring    // of the writers, at most one for each processor; the engine closes them at the end of Run. nil: each write is a system call

	// Grace is the time for which a lost connection may be resumed. 0 disables sessions.
	Grace time.Duration

	Log *slog.Logger // nil: slog.Default()
}

// Engine is a running node. Its methods may be called concurrently.
type Engine struct {
	settings   atomic.Pointer[settings]
	swapping   queue // serializes Swap
	middleware hook.Middleware
	cluster    cluster.Backend
	secret     []byte // proves the authors of messages
	operator   Operator
	tracer     Tracer
	moderation moderation.Store
	review     review.Store
	events     events.Taker
	log        *slog.Logger
	welcome    *wire.Frame
	writers    *fanout.Writers
	rings      int // of writers
	parkedBans parkedBans
	enforcing  sync.WaitGroup // goroutines that enforce sanctions
	stats      stats
	ready      chan struct{}
	notices    pendingNotices
	sessions   sessions
	keys       atomic.Int64    // idempotency keys of all connections
	dying      context.Context // ends with Run, or hardCloseTime after its ctx; nothing waits for the cluster after that
	die        context.CancelFunc

	mu          sync.Mutex
	connections map[string]*Connection
	allTenants  map[string]*tenant // by name; includes removed tenants that still have connections or rooms
	free        int                // places that are not guaranteed to a tenant
	closing     atomic.Bool        // changes with mu held
	emptied     chan struct{}      // closed when the last connection has gone after closing
}

// New creates an engine. Call Run to start it.
func New(cfg Config) (*Engine, error) {
	e := &Engine{
		middleware:  cfg.Middleware,
		cluster:     cfg.Cluster,
		secret:      cfg.Cluster.Secret,
		operator:    cfg.Operator,
		tracer:      cfg.Tracer,
		moderation:  cfg.Moderation,
		review:      cfg.Review,
		events:      cfg.Events,
		log:         cfg.Log,
		ready:       make(chan struct{}),
		connections: map[string]*Connection{},
		allTenants:  map[string]*tenant{},
		emptied:     make(chan struct{}),
	}
	e.dying, e.die = context.WithCancel(context.Background())
	if e.secret == nil {
		e.secret = []byte(rand.Text() + rand.Text())
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.middleware == nil {
		e.middleware = allowAll{}
	}
	name := cfg.Name
	if name == "" {
		name = "moot"
	}
	e.welcome = wire.NewFrame(0, func(dst []byte) []byte { return wire.AppendWelcome(dst, "Welcome to the "+name+" api") })
	e.writers, e.rings = fanout.NewWriters(runtime.GOMAXPROCS(0), cfg.Rings...), len(cfg.Rings)
	s := Settings{Tenants: cfg.Tenants, Limits: cfg.Limits}
	if err := s.check(&e.cluster); err != nil {
		return nil, err
	}
	e.sessions.grace = cfg.Grace
	e.install(s)
	return e, nil
}

// Run serves until ctx ends. It then closes all open connections at once. To spread the
// closing over time, call Shutdown first.
func (e *Engine) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(e.writers.Run)
	// The node stays in the cluster until its connections have left their rooms. Otherwise
	// other nodes would treat it as dead, and leave would run twice.
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer e.die()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		failed <- e.cluster.Nodes.Run(living, e)
		cancel()
	}()
	_, err := e.cluster.Nodes.List(ctx) // waits until the node is in the list; its name may still be in use
	if err == nil {
		err = e.createStartingRooms(ctx, e.settings.Load().configs())
	}
	if err == nil {
		close(e.ready)
		if e.review != nil {
			running.Go(func() { e.runReview(ctx) })
		}
		<-ctx.Done()
	}
	hurry := time.AfterFunc(hardCloseTime, e.die)
	e.closeAll()
	hurry.Stop()
	e.publishAllNotices()
	end()
	err = errors.Join(err, <-failed)
	e.publishAllNotices() // publishes the leaves that the end of Nodes.Run has added
	e.enforcing.Wait()
	e.writers.Close()
	running.Wait()
	return err
}

// hardCloseTime is the time that connections have to leave their rooms when ctx has ended
// and the cluster does not answer. Other nodes then run leave for the remaining members.
const hardCloseTime = 5 * time.Second

// untilShutdown returns a ctx for work that continues after its caller has stopped waiting.
// The ctx ends with the engine.
func (e *Engine) untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(e.dying, cancel)
	return ctx, func() { stop(); cancel() }
}

// Ready returns a channel that is closed when the node is in the cluster, the starting
// rooms exist and the engine accepts clients.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Limits returns the limits in use, with defaults.
func (e *Engine) Limits() Limits { return e.settings.Load().limits }

// Refuse makes the engine accept no more clients. Connections stay open until Shutdown.
func (e *Engine) Refuse() { e.beginClosing() }

// batches is the number of steps in which Shutdown closes the connections.
const batches = 20

// Shutdown accepts no more clients and closes all connections in batches that are spread
// over the given time, so that clients do not reconnect all at once. It returns when the
// last connection has ended or ctx ends.
func (e *Engine) Shutdown(ctx context.Context, over time.Duration) error {
	all := e.beginClosing()
	size := max(1, (len(all)+batches-1)/batches)
	if over == 0 {
		size = max(1, len(all)) // the times to come back are spread within a batch
	}
	for batch := range slices.Chunk(all, size) {
		closeForShutdown(batch)
		select {
		case <-e.emptied:
		case <-time.After(over / batches):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-e.emptied:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) beginClosing() []*Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closing.Load() {
		e.closing.Store(true)
		if len(e.connections) == 0 {
			close(e.emptied)
		}
	}
	return slices.Collect(maps.Values(e.connections))
}

// allConnections returns the connections of this node.
func (e *Engine) allConnections() []*Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.connections))
}

// closeAll closes all connections and waits until they have ended.
func (e *Engine) closeAll() {
	closeForShutdown(e.beginClosing())
	<-e.emptied
}

// register adds c to the connections. It fails if the engine is closing or c's tenant was
// removed; the error is a Close.
func (e *Engine) register(c *Connection) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing.Load():
		return CloseShutdown
	case c.tenant.gone != nil:
		return CloseTenant
	}
	e.connections[c.ID()] = c
	c.tenant.ids.Set(c.ID(), c)
	c.setIndexed(c.profile.Load().User)
	return nil
}

func (e *Engine) unregister(c *Connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.connections, c.ID())
	c.tenant.ids.Delete(c.ID())
	c.setIndexed("")
	if e.closing.Load() && len(e.connections) == 0 {
		close(e.emptied)
	}
}

// local returns the accepted connection with that id on this node, else nil.
func (e *Engine) local(id string) *Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.connections[id]; c != nil && c.admitted.Load() {
		return c
	}
	return nil
}

// newID returns a new connection id: the node's name, "-", and 80 random bits.
func (e *Engine) newID() string {
	return e.cluster.Nodes.Self() + "-" + strings.ToLower(rand.Text()[:16])
}

// nodeOf returns the node name in a connection's id; "" if there is none.
func nodeOf(id string) string {
	i := strings.LastIndexByte(id, '-')
	return id[:max(i, 0)]
}
