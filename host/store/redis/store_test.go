package redis

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	cluster "github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/host/store"
	"github.com/mootchat/moot/host/store/storetest"
)

func open(t *testing.T, client redis.UniversalClient, prefix string) *Store {
	t.Helper()
	s := New(client, prefix)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	server := redistest.Start(t)
	server.AddUser(t, "least", "secret", cluster.ACL("test*", cluster.Standalone, 0)) // with the permissions of a node only
	client := redis.NewClient(&redis.Options{Addr: server.Address(), Username: "least", Password: "secret", DisableIdentity: true})
	defer client.Close()
	runStoreTests(t, client)
}

// runStoreTests runs the tests of storetest, each with its own prefix.
func runStoreTests(t *testing.T, client redis.UniversalClient) {
	n := 0
	storetest.Run(t, func(t *testing.T) store.Store {
		n++
		return open(t, client, fmt.Sprint("test", n))
	})
}

func TestStoreOnCluster(t *testing.T) {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redistest.Addresses(redistest.StartCluster(t, 3, 0))})
	defer client.Close()
	runStoreTests(t, client)
}

// TestCachedFollowsOtherNodes checks that the copy has a change of another node about a second after a call
// of Cached, and that the copy stays while Redis does not answer.
func TestCachedFollowsOtherNodes(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(), context.Background()
	defer client.Close()
	a, b := open(t, client, "moot"), open(t, client, "moot")
	k := store.Key{Tenant: "t", Module: "m", Name: "k"}
	is := func(want string) {
		t.Helper()
		if err := redistest.Await("the copy is "+want, func() bool { return string(b.Cached(k)) == want }); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"1", "2"} {
		if _, err := a.Set(ctx, k, []byte(want), 0); err != nil {
			t.Fatal(err)
		}
		is(want)
	}
	server.Kill()
	began := time.Now()
	if _, err := b.Get(ctx, k); err == nil {
		t.Error("a dead Redis answered")
	}
	if err := redistest.Await("copies are older than they should be", func() bool { return time.Since(began) > 2*maxAge }); err != nil {
		t.Fatal(err)
	}
	is("2")
}

// TestCopiesAreBounded checks that unused copies are dropped and others stay.
func TestCopiesAreBounded(t *testing.T) {
	var r cache
	r.init(func(_ context.Context, keys []store.Key) ([][]byte, error) {
		return slices.Repeat([][]byte{[]byte("v")}, len(keys)), nil
	})
	defer r.close()
	hot := store.Key{Name: "hot"}
	r.put(hot, 0, []byte("v"))
	for i := range 3 * cacheEntries {
		r.put(store.Key{Name: fmt.Sprint(i)}, 0, nil)
		if i%1000 == 0 && string(r.get(hot)) != "v" {
			t.Fatal("a copy that is asked for was dropped")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.young) + len(r.old); n > 2*cacheEntries {
		t.Errorf("%d copies are held", n)
	}
}

func TestReadDoesNotOverwriteLaterChange(t *testing.T) {
	reading, goOn := make(chan struct{}), make(chan struct{})
	var r cache
	r.init(func(context.Context, []store.Key) ([][]byte, error) {
		reading <- struct{}{}
		<-goOn
		return [][]byte{[]byte("old")}, nil
	})
	defer r.close()
	k := store.Key{Name: "k"}
	r.get(k)
	<-reading
	r.put(k, r.version(k), []byte("new"))
	close(goOn)
	if err := redistest.Await("the reader has ended", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return !r.fetching }); err != nil {
		t.Fatal(err)
	}
	if got := r.get(k); string(got) != "new" {
		t.Errorf("the copy is %q", got)
	}
}

// TestCachedWithConcurrentCalls checks two concurrent calls of one node: a read does not overwrite a change
// that began after it, and after two changes of a key, whose order is unknown, the key is read again.
func TestCachedWithConcurrentCalls(t *testing.T) {
	var r cache
	r.init(func(context.Context, []store.Key) ([][]byte, error) { return [][]byte{[]byte("of redis")}, nil })
	defer r.close()
	k := store.Key{Name: "k"}
	reads, sets := r.version(k), r.version(k)
	r.put(k, sets, []byte("set"))
	r.note(k, reads, []byte("read before"))
	if got := r.get(k); string(got) != "set" {
		t.Errorf("the copy is %q", got)
	}
	one, two := r.version(k), r.version(k)
	r.put(k, two, []byte("two"))
	r.put(k, one, []byte("one"))
	if err := redistest.Await("redis is asked", func() bool { return string(r.get(k)) == "of redis" }); err != nil {
		t.Error(err)
	}
}

// TestQueueIsBounded checks the length of the queue while Redis does not answer and more and more keys are
// requested.
func TestQueueIsBounded(t *testing.T) {
	var r cache
	reading, answer := make(chan struct{}, 1), make(chan struct{})
	r.init(func(_ context.Context, keys []store.Key) ([][]byte, error) {
		select {
		case reading <- struct{}{}:
		default:
		}
		<-answer
		return make([][]byte, len(keys)), nil
	})
	for i := range 3 * cacheEntries {
		r.get(store.Key{Tenant: "t", Module: "m", Name: fmt.Sprint(i)})
	}
	<-reading
	r.mu.Lock()
	n := len(r.queue)
	r.mu.Unlock()
	if n > cacheEntries {
		t.Errorf("%d keys are queued", n)
	}
	close(answer)
	r.close()
}
