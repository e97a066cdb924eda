package host_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/storetest"
)

func TestPromises(t *testing.T) {
	storetest.Run(t, func(*testing.T) host.Store { return host.NewMemoryStore() })
}

// A page of a full namespace takes what a page needs, not a copy of all names.
func TestPageOfKeysCostsAPage(t *testing.T) {
	s, ctx := host.NewMemoryStore(), context.Background()
	for i := range host.MaxKeys {
		if _, err := s.Set(ctx, host.Key{Tenant: "t", Module: "m", Name: fmt.Sprintf("key %05d", i)}, []byte("v"), 0); err != nil {
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
		t.Errorf("a page of 10 names of %d allocated %d bytes", host.MaxKeys, each)
	}
}
