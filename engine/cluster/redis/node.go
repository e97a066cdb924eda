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
	operators  redis.UniversalClient // connections for calls with cluster.ForOperator
	reader     redis.UniversalClient // connection for blocking reads of the inbox
	process    string                // <node>#<random>, unique
	secret     string                // of all nodes; see cluster.Backend.Secret
	parts      []*partition
	made       made
	calls      calls
	roster     roster
	answering  chan struct{} // one element for each call that the handler is answering
	opened     time.Time     // when Open was called
	skew       atomic.Int64  // Redis' clock minus now, ms
	queued     queue         // messages that wait to be published, in all partitions
	remembered atomic.Int64  // bytes of the batches in recent, in all partitions

	ran     atomic.Bool
	started chan struct{} // closed when Run has begun or failed
	life    context.Context
	stop    context.CancelCauseFunc
	handler cluster.Handler

	mu    sync.RWMutex
	over  bool
	tasks sync.WaitGroup // goroutines that may call the handler; none begins after over is set

	counters counters
}

// counters are the counters of cluster.Stats.
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

// now returns the time by the machine's clock as it was when the node was opened, because the
// clock may be set while the node runs.
func (n *Node) now() time.Time { return n.opened.Add(time.Since(n.opened)) }

// silentTime is the time without an answer of Redis after which a node is unhealthy.
const silentTime = 2*readTimeout + time.Second

// Health implements cluster.Status.
func (n *Node) Health() error {
	if !n.alive() {
		return n.errStopped()
	}
	now := n.now().UnixNano()
	for _, p := range n.parts {
		if now-p.beaten.Load() > int64(silentTime) {
			return fmt.Errorf("redis does not answer at %s: this node cannot renew its lease, and verbs that need the cluster fail", n.cfg.where())
		}
		if now-p.receiving.Load() > int64(silentTime) {
			return fmt.Errorf("redis at %s: subscriptions are interrupted, messages of other nodes will be read later", n.cfg.where())
		}
	}
	return nil
}

// Open connects to Redis and checks it: Redis must be reachable with these credentials and
// permissions, have version 7.0 or newer and the mode, and not evict keys. Open waits for a Redis
// that does not answer yet, at most Config.PublishTimeout. Close closes the node.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, client: cfg.dial(0), operators: cfg.dial(operatorConnections), reader: cfg.dial(0), started: make(chan struct{}), opened: time.Now()}
	n.process = cfg.Node + "#" + token()
	n.calls.open = map[string]chan reply{}
	n.roster.init()
	n.answering = make(chan struct{}, callsAtOnce)
	for _, tag := range tags(cfg.Partitions) {
		n.parts = append(n.parts, newPartition(n, keys{cfg.Prefix, tag}))
	}
	err = errors.Join(n.instrument(), n.awaitServers(ctx))
	if err == nil {
		n.secret, err = n.shareSecret(ctx, rand.Text()+rand.Text())
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// shareSecret stores a secret in Redis if it has none, and returns the one that it has.
func (n *Node) shareSecret(ctx context.Context, secret string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.PublishTimeout)
	defer cancel()
	if err := n.offerSecret(ctx, secret); err != nil {
		return "", err
	}
	return n.client.Get(ctx, n.cfg.Prefix+":secret").Result()
}

// offerSecret stores a secret in Redis if it has none.
func (n *Node) offerSecret(ctx context.Context, secret string) error {
	if err := n.client.SetNX(ctx, n.cfg.Prefix+":secret", secret, 0).Err(); err != nil {
		return fmt.Errorf("share a secret with the other nodes: %w", err)
	}
	return nil
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

// awaitServers checks the servers. It tries for Config.PublishTimeout, because the servers may be
// starting.
func (n *Node) awaitServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.PublishTimeout)
	defer cancel()
	said := false
	for b := (backoff{50 * time.Millisecond, time.Second}); ; {
		err := n.cfg.check(ctx, n.client)
		if err == nil || !isPassing(err) || errors.Is(err, errUnfit) {
			return err
		}
		if !said {
			n.cfg.Log.Warn("redis does not answer yet, trying again", "error", err, "for", n.cfg.PublishTimeout)
			said = true
		}
		if !b.pause(ctx) {
			return err
		}
	}
}

// token returns a unique string in lower case.
func token() string { return strings.ToLower(rand.Text()[:16]) }

// Cluster returns the node as the backend of an engine. The list of rooms can be used at
// any time. Publish, Subscribe, Add and Call wait for Nodes.Run to begin, and fail with
// cluster.ErrUnavailable after it.
func (n *Node) Cluster() cluster.Backend {
	return cluster.Backend{Broker: n, History: n, Rooms: (*rooms)(n), Presence: n, Sessions: n, Nodes: (*nodes)(n), Status: n, Secret: []byte(n.secret)}
}

// Client returns the node's client of Redis, for other data in the same Redis. The client does
// not retry commands. Close closes it.
func (n *Node) Client() redis.UniversalClient { return n.client }

// Operators returns a client like Client with the connections for operators' calls, 4 to each
// server.
func (n *Node) Operators() redis.UniversalClient { return n.operators }

// via returns the client for a call with ctx, which may be an operator's.
func (n *Node) via(ctx context.Context) redis.UniversalClient {
	if cluster.IsForOperator(ctx) {
		return n.operators
	}
	return n.client
}

// Close closes the connections. Call it after Nodes.Run has returned. A second Close does
// nothing.
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

// Run implements cluster.Nodes. If another process has the node's name, it waits until the
// name is free, at most a lease and a second.
func (ns *nodes) Run(ctx context.Context, h cluster.Handler) error {
	n := (*Node)(ns)
	if !n.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("node %q has run already: a handle runs once", n.cfg.Node)
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

// work runs the node until it stops and no call of the handler runs.
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

// begin begins a task that may call the handler, which tasks.Done ends. It reports false if the
// node has stopped.
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
	if err := n.awaitStart(ctx); err != nil {
		return err
	}
	if !n.alive() {
		return n.errStopped()
	}
	return nil
}

// awaitStart waits until Run has put the node on the list or has failed.
func (n *Node) awaitStart(ctx context.Context) error {
	select {
	case <-n.started:
		return nil
	default: // a started node counts even if ctx has ended
	}
	select {
	case <-n.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node %q has not started: %w: %w", n.cfg.Node, cluster.ErrUnavailable, ctx.Err())
	}
}

func (n *Node) errStopped() error {
	return fmt.Errorf("node %q has stopped: %w", n.cfg.Node, cluster.ErrUnavailable)
}

// alive reports whether the ctx of Run has not ended.
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

// List implements cluster.Nodes, sorted by name.
func (ns *nodes) List(ctx context.Context) ([]string, error) {
	n := (*Node)(ns)
	if err := n.awaitStart(ctx); err != nil {
		return nil, err
	}
	return n.listNodes(ctx)
}

// partition is a part of the keys, with the publisher and the subscriber of this node.
type partition struct {
	n         *Node
	keys      keys
	publisher publisher
	ephemeral publisher // publisher of ephemeral messages

	ended    chan beatResult // input of the reaper; one slot
	removals removals

	generation string       // generation of the last beat, like data; used by keepLease only
	data       string       // name of the partition's data
	emptied    atomic.Bool  // Redis may have lost rooms
	missing    atomic.Bool  // Redis may have lost members
	returning  atomic.Bool  // restoreRecord is running
	beaten     atomic.Int64 // when the lease was last renewed, ns since 1970
	receiving  atomic.Int64 // when the subscriptions last worked, ns since 1970

	mu         sync.Mutex
	subscriber *subscriber     // nil while there is none
	current    string          // the latest generation
	subs       map[string]*sub // by channel
}

func newPartition(n *Node, k keys) *partition {
	p := &partition{n: n, keys: k, subs: map[string]*sub{}, ended: make(chan beatResult, 1)}
	p.publisher = publisher{p: p, wake: make(chan struct{}, 1)}
	p.ephemeral = publisher{p: p, wake: make(chan struct{}, 1)}
	return p
}

// at returns the room's partition and key.
func (n *Node) at(room cluster.RoomID) (*partition, string) {
	key := roomKey(room)
	return n.parts[partitionOf(key, len(n.parts))], key
}

// malformed counts and logs a malformed value in Redis.
func (n *Node) malformed(where string, err error) {
	n.counters.Malformed.Add(1)
	n.cfg.Log.Warn("malformed value in redis", "where", where, "error", err)
}
