package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/mootchat/moot/host/store"
	"github.com/mootchat/moot/host/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return New() })
}

// TestListAllocatesPerPage checks that a page of a full namespace allocates memory for the page,
// not for all names.
func TestListAllocatesPerPage(t *testing.T) {
	s, ctx := New(), context.Background()
	for i := range store.MaxKeys {
		if _, err := s.Set(ctx, store.Key{Tenant: "t", Module: "m", Name: fmt.Sprintf("key %05d", i)}, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const pages = 100
	cursor := ""
	for range pages {
		names, next, err := s.List(ctx, "t", "m", cursor, 10)
		if err != nil || len(names) != 10 || next == "" {
			t.Fatalf("%d names, cursor %q, %v", len(names), next, err)
		}
		cursor = next
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / pages; each > 4<<10 {
		t.Errorf("a page of 10 names of %d allocated %d bytes", store.MaxKeys, each)
	}
}

func TestNamespaceIsBoundedAndExpires(t *testing.T) {
	m := New()
	clock := time.Unix(1000, 0)
	m.now = func() time.Time { return clock }
	ctx := context.Background()
	key := func(i int) store.Key { return store.Key{Tenant: "t", Module: "m", Name: fmt.Sprint(i)} }
	for i := range store.MaxKeys {
		if _, err := m.Set(ctx, key(i), []byte{}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Set(ctx, key(-1), []byte("x"), 0); !errors.Is(err, store.ErrFull) {
		t.Error(err)
	}
	if v, _ := m.Get(ctx, key(1)); v == nil {
		t.Error("an empty value reads as no value")
	}
	clock = clock.Add(time.Minute)
	if v, _ := m.Get(ctx, key(1)); v != nil {
		t.Error("the value has not expired")
	}
	for i := range 2 { // the first replaces an expired key
		if _, err := m.Set(ctx, key(-1-i), []byte("x"), 0); err != nil {
			t.Error(err)
		}
	}
	if n := len(m.namespaces[namespaceID{"t", "m"}].keys); n != 2 {
		t.Errorf("%d keys are left", n)
	}
	if had, err := m.Set(ctx, key(-2), nil, 0); !had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	big := make([]byte, store.MaxNamespaceBytes)
	if _, err := m.Set(ctx, key(-2), big, 0); !errors.Is(err, store.ErrFull) {
		t.Error(err)
	}
	if _, err := m.Set(ctx, key(-1), nil, 0); err != nil || m.namespaces[namespaceID{"t", "m"}].size != 0 {
		t.Errorf("%v, %d bytes are left", err, m.namespaces[namespaceID{"t", "m"}].size)
	}
}

func TestBucketRefills(t *testing.T) {
	m := New()
	clock := time.Unix(1000, 0)
	m.now = func() time.Time { return clock }
	take := func(want time.Duration) {
		t.Helper()
		if wait, err := m.Take(context.Background(), store.Key{Tenant: "t", Module: "m", Name: "b"}, 1, 2, time.Second); wait != want || err != nil {
			t.Errorf("wait %v, %v, want %v", wait, err, want)
		}
	}
	take(0)
	take(0)
	take(time.Second)
	clock = clock.Add(400 * time.Millisecond)
	take(600 * time.Millisecond)
	clock = clock.Add(600 * time.Millisecond)
	take(0)
	take(time.Second)
}

// TestReadsCreateNoNamespace checks that reads, removals and failed swaps create no namespace.
func TestReadsCreateNoNamespace(t *testing.T) {
	m, ctx, k := New(), context.Background(), store.Key{Tenant: "t", Module: "m", Name: "k"}
	m.Cached(k)
	if had, err := m.Set(ctx, k, nil, 0); had || err != nil {
		t.Error(had, err)
	}
	if done, err := m.Swap(ctx, k, []byte("old"), []byte("new"), 0); done || err != nil {
		t.Error(done, err)
	}
	if done, err := m.Swap(ctx, k, nil, nil, 0); !done || err != nil {
		t.Error(done, err)
	}
	if len(m.namespaces) > 0 {
		t.Errorf("%d namespaces were created", len(m.namespaces))
	}
	if done, err := m.Swap(ctx, k, nil, []byte("new"), 0); !done || err != nil || string(m.Cached(k)) != "new" {
		t.Error(done, err)
	}
}
