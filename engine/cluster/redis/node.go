package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// Node is one engine's handle on a cluster: its Broker, Rooms, Presence and Nodes.
type Node struct {
	cfg        Config
	client     redis.UniversalClient
	operators  redis.UniversalClient // for what cluster.ForOperator marks
	reader     redis.UniversalClient // of the inbox: it waits in Redis for what comes
	process    string                // <node>#<random>: no other ever had it
	parts      []*partition
	made       made
	calls      calls
	roster     roster
	answering  chan struct{} // a slot for each call that the handler is answering
	skew       atomic.Int64  // Redis' clock less ours, ms
	queued     queue         // what waits to be published, in all partitions
	remembered atomic.Int64  // bytes of what was published lately, in all partitions

	ran     atomic.Bool
	started chan struct{} // closed when Run has begun, or failed to
	life    context.Context
	stop    context.CancelCauseFunc
	handler cluster.Handler

	mu    sync.RWMutex
	over  bool
	tasks sync.WaitGroup // those that may call the handler; none begins once over

	counters counters
}

// counters are those of cluster.Stats.
type counters struct {
	Reopened, Healed, Replayed, Gaps, Malformed, LeaveUnknown, Rejoined, Restored atomic.Int64
}

// Counters implements cluster.Status.
func (n *Node) Counters() cluster.Stats {
	c := &n.counters
	return cluster.Stats{
		Reopened: c.Reopened.Load(), Healed: c.Healed.Load(), Replayed: c.Replayed.Load(), Gaps: c.Gaps.Load(),
		Malformed: c.Malformed.Load(), LeaveUnknown: c.LeaveUnknown.Load(), Rejoined: c.Rejoined.Load(), Restored: c.Restored.Load(),
	}
}

// sick is for how long nothing may have been heard of Redis by a healthy node.
const sick = 2*readTimeout + time.Second

// Health implements cluster.Status.
func (n *Node) Health() error {
	if !n.alive() {
		return n.gone()
	}
	now := time.Now().UnixNano()
	for _, p := range n.parts {
		if now-p.beaten.Load() > int64(sick) {
			return fmt.Errorf("redis does not answer at %s: the lease of this node is not renewed, verbs that need the cluster fail", n.cfg.where())
		}
		if now-p.heard.Load() > int64(sick) {
			return fmt.Errorf("redis at %s: messages of other nodes do not come, they are read later", n.cfg.where())
		}
	}
	return nil
}

// Open connects to Redis and checks that it will do: reachable, with these
// credentials, of version 7.0 or newer, in the mode, not evicting keys. One that is
// not there yet is waited for, for Config.PublishTimeout. Close ends what it began.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, client: cfg.dial(0), operators: cfg.dial(operatorConnections), reader: cfg.dial(0), started: make(chan struct{})}
	n.process = cfg.Node + "#" + token()
	n.calls.open = map[string]chan reply{}
	n.roster.init()
	n.answering = make(chan struct{}, callsAtOnce)
	for _, tag := range tags(cfg.Partitions) {
		n.parts = append(n.parts, newPartition(n, keys{cfg.Prefix, tag}))
	}
	if err := errors.Join(n.instrument(), n.meet(ctx)); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) instrument() error {
	if n.cfg.Hook != nil {
		n.client.AddHook(n.cfg.Hook)
		n.reader.AddHook(n.cfg.Hook)
	}
	if n.cfg.Instrument == nil {
		return nil
	}
	return errors.Join(n.cfg.Instrument(n.client), n.cfg.Instrument(n.operators), n.cfg.Instrument(n.reader))
}

// meet checks the servers, which may be starting too: it tries for
// Config.PublishTimeout.
func (n *Node) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.PublishTimeout)
	defer cancel()
	said := false
	for b := (backoff{50 * time.Millisecond, time.Second}); ; {
		err := n.cfg.check(ctx, n.client)
		if err == nil || !isPassing(err) || errors.Is(err, errUnfit) {
			return err
		}
		if !said {
			n.cfg.Log.Warn("redis is not there yet", "error", err, "waiting", n.cfg.PublishTimeout)
			said = true
		}
		if !b.pause(ctx) {
			return err
		}
	}
}

// token is unique, and lower case.
func token() string { return strings.ToLower(rand.Text()[:16]) }

// Cluster gives the node to an engine. Before Nodes.Run only the list of rooms
// and of nodes can be used; Publish, Subscribe, Add and Call wait for it, and
// after it they fail with cluster.ErrUnavailable.
func (n *Node) Cluster() cluster.Backend {
	return cluster.Backend{Broker: n, History: n, Rooms: (*rooms)(n), Presence: n, Sessions: n, Nodes: (*nodes)(n), Status: n}
}

// Client is the node's connection to Redis, for others who keep something there. It
// retries nothing by itself, and lives until Close.
func (n *Node) Client() redis.UniversalClient { return n.client }

// Operators is Client with the connections that operators' calls have, 4 to each server.
func (n *Node) Operators() redis.UniversalClient { return n.operators }

// via is the client for what is asked with ctx.
func (n *Node) via(ctx context.Context) redis.UniversalClient {
	if cluster.IsForOperator(ctx) {
		return n.operators
	}
	return n.client
}

// Close ends the connections. It is called after Nodes.Run has returned, if that
// ran; closing twice is harmless.
func (n *Node) Close() error {
	var failed []error
	for _, c := range []redis.UniversalClient{n.client, n.operators, n.reader} {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// nodes is the node as cluster.Nodes.
type nodes Node

// Run implements cluster.Nodes. A name that a node has which still lives, or died
// less than a lease ago, is waited for.
func (ns *nodes) Run(ctx context.Context, h cluster.Handler) error {
	n := (*Node)(ns)
	if !n.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("node %q has run: a handle runs once", n.cfg.Node)
	}
	n.life, n.stop = context.WithCancelCause(ctx)
	defer n.stop(nil)
	n.handler = h
	err := n.register(n.life)
	if err != nil {
		n.stop(err)
	}
	close(n.started)
	if err == nil {
		n.work()
		n.deregister()
	}
	if ctx.Err() == nil {
		return context.Cause(n.life)
	}
	return nil
}

// work does all that a node does, until its life ends and no call of the handler
// runs any more.
func (n *Node) work() {
	var all sync.WaitGroup
	for _, p := range n.parts {
		all.Go(p.publisher.run)
		all.Go(p.ephemeral.run)
		all.Go(p.listen)
		all.Go(p.keepLease)
		all.Go(p.reap)
	}
	all.Go(n.keepName)
	all.Go(n.readInbox)
	<-n.life.Done()
	n.shut()
	all.Wait()
	n.tasks.Wait()
}

func (n *Node) shut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
}

// begin begins a task that may call the handler; false if no more may. The caller
// ends it with tasks.Done.
func (n *Node) begin() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.over {
		n.tasks.Add(1)
	}
	return !n.over
}

// up waits for Run to begin.
func (n *Node) up(ctx context.Context) error {
	if err := n.begun(ctx); err != nil {
		return err
	}
	if !n.alive() {
		return n.gone()
	}
	return nil
}

// begun waits for Run to have put the node on the list, or to have failed.
func (n *Node) begun(ctx context.Context) error {
	select {
	case <-n.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %q does not run yet: %w: %w", n.cfg.Node, cluster.ErrUnavailable, ctx.Err())
	}
}

func (n *Node) gone() error {
	return fmt.Errorf("node %q runs no more: %w", n.cfg.Node, cluster.ErrUnavailable)
}

// alive is false once Run has been told to end.
func (n *Node) alive() bool {
	select {
	case <-n.started:
		return n.life.Err() == nil
	default:
		return true
	}
}

// Self implements cluster.Nodes.
func (ns *nodes) Self() string { return ns.cfg.Node }

// List implements cluster.Nodes, in the order of the names.
func (ns *nodes) List(ctx context.Context) ([]string, error) {
	n := (*Node)(ns)
	if err := n.begun(ctx); err != nil {
		return nil, err
	}
	return n.listNodes(ctx)
}

// partition is a part of the keys, and this node's dealings with it.
type partition struct {
	n         *Node
	keys      keys
	publisher publisher
	ephemeral publisher // of ephemeral messages

	ended    chan beatResult // one slot: what is for the reaper
	removals removals

	generation string       // at the last beat, as data; of who keeps the lease
	data       string       // which data the partition holds
	emptied    atomic.Bool  // the rooms may be off record too
	missing    atomic.Bool  // members may be off record
	returning  atomic.Bool  // they are being seen to
	beaten     atomic.Int64 // when the lease was renewed last, ns since 1970
	heard      atomic.Int64 // when the subscriptions were sound last, ns since 1970

	mu         sync.Mutex
	subscriber *subscriber     // nil while there is none
	current    string          // the generation that was heard of last
	subs       map[string]*sub // by channel
}

func newPartition(n *Node, k keys) *partition {
	p := &partition{n: n, keys: k, subs: map[string]*sub{}, ended: make(chan beatResult, 1)}
	p.publisher = publisher{p: p, wake: make(chan struct{}, 1)}
	p.ephemeral = publisher{p: p, wake: make(chan struct{}, 1)}
	return p
}

// at gives the room's partition and its key.
func (n *Node) at(room cluster.RoomID) (*partition, string) {
	key := roomKey(room)
	return n.parts[partitionOf(key, len(n.parts))], key
}

// malformed notes something in Redis that is not ours.
func (n *Node) malformed(where string, err error) {
	n.counters.Malformed.Add(1)
	n.cfg.Log.Warn("redis holds what is not ours", "where", where, "error", err)
}
