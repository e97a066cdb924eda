package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
)

// node is a store behind a proxy, with a follower of the tenant t.
type node struct {
	*Store
	proxy *redistest.Proxy

	mu      sync.Mutex
	list    moderation.List
	changed chan struct{}
	always  string   // a user whose sanction must hold from now on; "": none
	ceased  int      // changes after which it did not
	alls    []string // users of one change each, and "all" for all sanctions
}

func startNode(t *testing.T, server *redistest.Server) *node {
	t.Helper()
	proxy := redistest.StartProxy(t, server.Address())
	n := follow(t, &redis.Options{Addr: proxy.Address()})
	n.proxy = proxy
	return n
}

// follow returns a store with a follower of the tenant t.
func follow(t *testing.T, o *redis.Options) *node {
	t.Helper()
	client := redis.NewClient(o)
	n := &node{Store: New(client, "moot", slog.New(slog.NewTextHandler(t.Output(), nil))), changed: make(chan struct{}, 1)}
	t.Cleanup(func() { _ = n.Close(); _ = client.Close() })
	stop, err := n.Follow(t.Context(), "t", func(c moderation.Change) {
		n.mu.Lock()
		defer n.mu.Unlock()
		c.Apply(&n.list)
		if n.always != "" && !n.has(n.always) {
			n.ceased++
		}
		what := "all"
		if !c.All && len(c.Set) == 1 {
			what = c.Set[0].User
		}
		n.alls = append(n.alls, what)
		select {
		case n.changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return n
}

func (n *node) has(user string) bool {
	return n.list.Find(moderation.Client{User: user}, moderation.Mute, "") != nil
}

// until waits until state is true.
func (n *node) until(t *testing.T, what string, state func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !state() {
		select {
		case <-n.changed:
		case <-late:
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

func mute(t testing.TB, user string) moderation.Sanction {
	t.Helper()
	s := moderation.Sanction{Tenant: "t", User: user, Kind: moderation.Mute, Rooms: moderation.AllRooms}
	if err := s.Identify(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) set(t *testing.T, user string) {
	t.Helper()
	if _, err := n.Set(context.Background(), mute(t, user)); err != nil {
		t.Fatal(err)
	}
}

// TestAFollowerThatWasCutOffReadsAll checks that a node receives the changes that were made while it had no
// connection to Redis.
func TestAFollowerThatWasCutOffReadsAll(t *testing.T) {
	server := redistest.Start(t)
	a, b := startNode(t, server), startNode(t, server)
	a.set(t, "kept")
	a.set(t, "lifted")
	b.until(t, "both hold", func() bool { return b.has("kept") && b.has("lifted") })
	b.proxy.Silence()
	b.proxy.Sever()
	a.set(t, "new")
	if _, err := a.Remove(t.Context(), "t", mute(t, "lifted").ID); err != nil {
		t.Fatal(err)
	}
	b.proxy.Mend()
	b.until(t, "the changes hold", func() bool { return b.has("kept") && b.has("new") && !b.has("lifted") })
}

// TestChangesLostInAFailoverAreRepeated checks that a node repeats its latest changes after Redis has lost
// them, and that these do not replace later ones.
func TestChangesLostInAFailoverAreRepeated(t *testing.T) {
	server := redistest.Start(t)
	a, b := startNode(t, server), startNode(t, server)
	ctx := t.Context()
	b.set(t, "removed by a")
	a.until(t, "it holds", func() bool { return a.has("removed by a") })
	client := server.Client()
	defer client.Close()
	backup := dump(t, client)
	a.set(t, "set by a")
	a.set(t, "removed by b")
	if _, err := a.Remove(ctx, "t", mute(t, "removed by a").ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Remove(ctx, "t", mute(t, "removed by b").ID); err != nil {
		t.Fatal(err)
	}
	restore(t, client, backup) // the data of a replica that lacks the last four changes
	a.proxy.Sever()
	b.proxy.Sever()
	for _, n := range []*node{a, b} {
		n.until(t, "the lost changes hold", func() bool { return n.has("set by a") && !n.has("removed by a") && !n.has("removed by b") })
	}
	a.set(t, "last")
	b.until(t, "changes arrive", func() bool { return b.has("last") })
	page, _, err := a.List(ctx, "t", moderation.Query{Limit: 10})
	if err != nil || len(page) != 2 {
		t.Errorf("the store has %+v, %v: want the sanctions of \"set by a\" and \"last\"", page, err)
	}
}

func dump(t *testing.T, client redis.UniversalClient) map[string]string {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, key := range keys {
		if all[key], err = client.Dump(t.Context(), key).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func restore(t *testing.T, client redis.UniversalClient, backup map[string]string) {
	t.Helper()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for key, data := range backup {
		if err := client.Restore(t.Context(), key, 0, data).Err(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().UnixMilli() + 10 // a failover takes longer than the revisions of some changes are ahead of the clock
	for now := time.UnixMilli(0); now.UnixMilli() < began; {
		var err error
		if now, err = client.Time(t.Context()).Result(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestASanctionHoldsThroughAFailover checks that a sanction that Redis has lost holds on a follower at each moment, and on
// new followers afterwards, although the node that set it has died, and that a sanction that was removed does not come back.
func TestASanctionHoldsThroughAFailover(t *testing.T) {
	server := redistest.Start(t)
	a, b := startNode(t, server), startNode(t, server)
	client := server.Client()
	defer client.Close()
	backup := dump(t, client)
	a.set(t, "muted")
	a.set(t, "forgiven")
	b.until(t, "both hold", func() bool { return b.has("muted") && b.has("forgiven") })
	b.proxy.Silence()
	if _, err := a.Remove(t.Context(), "t", mute(t, "forgiven").ID); err != nil {
		t.Fatal(err)
	}
	b.proxy.Sever()
	b.proxy.Mend()
	b.until(t, "the removal is known", func() bool { return !b.has("forgiven") })
	_ = a.Close()
	b.mu.Lock()
	b.always, b.alls = "muted", nil
	b.mu.Unlock()
	restore(t, client, backup)
	b.proxy.Sever()
	b.until(t, "it has read all", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.alls) > 0 })
	c := startNode(t, server)
	if b.ceased > 0 || !c.has("muted") || c.has("forgiven") {
		t.Errorf("it ceased %d times; a new node has muted: %v, forgiven: %v", b.ceased, c.has("muted"), c.has("forgiven"))
	}
}

// TestASanctionHoldsWhenSetReturns checks the followers of the node that sets and removes it, while others make changes.
func TestASanctionHoldsWhenSetReturns(t *testing.T) {
	server := redistest.Start(t)
	a, b := startNode(t, server), startNode(t, server)
	var others sync.WaitGroup
	defer others.Wait()
	for i := range 3 {
		others.Go(func() {
			for range 50 {
				_, _ = b.Set(t.Context(), mute(t, fmt.Sprint("other ", i)))
			}
		})
	}
	for i := range 50 {
		user := fmt.Sprint(i)
		a.set(t, user)
		if !a.has(user) {
			t.Fatalf("%s is not muted", user)
		}
		if _, err := a.Remove(t.Context(), "t", mute(t, user).ID); err != nil {
			t.Fatal(err)
		}
		if a.has(user) {
			t.Fatalf("%s is muted", user)
		}
	}
}

// TestASubscriptionLeavesAServerThatIsNotTheMaster checks a node whose subscription is still at a server that its commands
// no longer reach.
func TestASubscriptionLeavesAServerThatIsNotTheMaster(t *testing.T) {
	former, master := redistest.Start(t), redistest.Start(t)
	var leads atomic.Pointer[redistest.Server]
	leads.Store(former)
	a := follow(t, &redis.Options{Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, leads.Load().Address())
	}})
	b := startNode(t, master)
	leads.Store(master)
	if err := former.Do("CLIENT", "KILL", "TYPE", "normal"); err != nil {
		t.Fatal(err)
	}
	b.set(t, "first")
	a.until(t, "the change arrives", func() bool { return a.has("first") })
	b.set(t, "second")
	a.until(t, "the next arrives", func() bool { return a.has("second") })
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.alls[len(a.alls)-1]; last != "second" {
		t.Errorf("the follower received %q: want that the subscription passes the last change", a.alls)
	}
}

// TestChangesWaitForReplicas checks that Set and Remove fail if too few replicas have the change.
func TestChangesWaitForReplicas(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.Port))
	if err := redistest.Await("the replica follows", func() bool { return replica.Info("master_link_status") == "up" }); err != nil {
		t.Fatal(err)
	}
	a := startNode(t, master)
	a.Wait = durable.Wait{Replicas: 1, For: 10 * time.Second}
	a.set(t, "bob")
	if err := replica.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.Wait.For = 50 * time.Millisecond
	if _, err := a.Set(t.Context(), mute(t, "ann")); !errors.Is(err, durable.ErrNotReplicated) || !errors.Is(err, moderation.ErrUnknown) {
		t.Errorf("set: %v", err)
	}
	if _, err := a.Remove(t.Context(), "t", mute(t, "bob").ID); !errors.Is(err, durable.ErrNotReplicated) || !errors.Is(err, moderation.ErrUnknown) {
		t.Errorf("remove: %v", err)
	}
	if err := replica.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.Wait.For = 10 * time.Second
	a.set(t, "ann")
	if !a.has("ann") || a.has("bob") {
		t.Errorf("ann is muted: %v, bob: %v", a.has("ann"), a.has("bob"))
	}
}

// TestAMissedChangeIsNoticed checks that a follower that misses a published change reads the tenant again with
// the next one, and by comparing revisions without one.
func TestAMissedChangeIsNoticed(t *testing.T) {
	server := redistest.Start(t)
	a, b := startNode(t, server), startNode(t, server)
	client := server.Client()
	defer client.Close()
	silently := func(user string) { // a change that is published on a channel that nobody has subscribed to
		c := setting(mute(t, user))
		if err := setScript.Run(t.Context(), client, a.keys("t"), "t", "elsewhere", c.id, c.source, c.subject, c.until, c.data, 100, 100, 100).Err(); err != nil {
			t.Fatal(err)
		}
	}
	silently("missed")
	a.set(t, "next")
	b.until(t, "both hold", func() bool { return b.has("missed") && b.has("next") })
	silently("missed, too")
	b.compare()
	b.until(t, "it holds", func() bool { return b.has("missed, too") })
}

// TestAMalformedSanctionDoesNotHold checks that malformed values in Redis are skipped.
func TestAMalformedSanctionDoesNotHold(t *testing.T) {
	server := redistest.Start(t)
	a := startNode(t, server)
	client := server.Client()
	defer client.Close()
	a.set(t, "bob")
	ctx := t.Context()
	revision, err := client.HGet(ctx, a.key("t", "c"), "revision").Int64()
	if err != nil {
		t.Fatal(err)
	}
	for i, record := range []string{"", "p", "p1\x00user:x", "p1\x00user:x\x00{", "p1\x00user:x\x00{}", "p-1\x00user:x\x00{}", a.recordOf(t, client, "bob")} {
		id := fmt.Sprint("bad", i)
		client.HSet(ctx, a.key("t", "s"), id, record)
		client.ZAdd(ctx, a.key("t", "i"), redis.Z{Member: "user:x\x00" + id})
		client.Publish(ctx, a.channel(), fmt.Sprintf("t %d %d s%s %s", revision+int64(i), revision+int64(i)+1, id, record))
	}
	client.Publish(ctx, a.channel(), "t")
	client.Publish(ctx, a.channel(), "")
	a.set(t, "ann")
	a.until(t, "later changes hold", func() bool { return a.has("ann") })
	if !a.has("bob") || a.list.Len() != 2 {
		t.Errorf("the follower has %d sanctions, want 2", a.list.Len())
	}
}

func (n *node) recordOf(t *testing.T, client redis.UniversalClient, user string) string {
	t.Helper()
	record, err := client.HGet(t.Context(), n.key("t", "s"), mute(t, user).ID).Result()
	if err != nil {
		t.Fatal(err)
	}
	return record
}
