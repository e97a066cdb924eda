package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/host/store"
)

// TestListCostsAPage checks that a page of a large namespace takes one round trip, reads only its own names,
// and has an answer of bounded length.
func TestListCostsAPage(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(), context.Background()
	defer client.Close()
	s := open(t, client, "moot")
	pipe := client.Pipeline()
	const keys = 5761
	for i := range keys {
		setScript.Eval(ctx, pipe, s.keys("t", "m"), fmt.Sprintf("key %05d", i), store.MaxKeys, store.MaxNamespaceBytes, "v", 1, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	read := func(key string) int {
		n, _ := strconv.Atoi(server.Info(key))
		return n
	}
	cost := func(f func()) (commands, bytes int) { // with those of INFO itself
		commands, bytes = read("total_commands_processed"), read("total_net_output_bytes")
		f()
		return read("total_commands_processed") - commands, read("total_net_output_bytes") - bytes
	}
	const pages, limit = 50, 10
	var idle, listing [2]int
	idle[0], idle[1] = cost(func() {})
	var got []string
	listing[0], listing[1] = cost(func() {
		for cursor, i := "", 0; i < pages; i++ {
			names, next, err := s.List(ctx, "t", "m", cursor, limit)
			if err != nil || next == "" {
				t.Fatalf("page %d: cursor %q, %v", i, next, err)
			}
			got, cursor = append(got, names...), next
		}
	})
	if len(got) != pages*limit || got[0] != "key 00000" || !slices.IsSorted(got) {
		t.Fatalf("listed %d names, %q first", len(got), got[:min(1, len(got))])
	}
	// Commands of each page: the script, its TIME, two sizes, one range, and two reads for each name.
	if n := (listing[0] - idle[0]) / pages; n > 5+1+2*limit {
		t.Errorf("a page of %d names is %d commands", limit, n)
	}
	if n := (listing[1] - idle[1]) / pages; n > 40*limit { // the length of INFO varies a little
		t.Errorf("the answer with %d names has %d bytes", limit, n)
	}
	if text := server.Info("cmdstat_hkeys", "INFO", "commandstats"); text != "" {
		t.Errorf("all names were read: cmdstat_hkeys:%s", text)
	}
}

// TestListFindsKeysWithoutIndex checks that List returns all keys of namespaces that a version without the
// index has written, before or in between.
func TestListFindsKeysWithoutIndex(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(), context.Background()
	defer client.Close()
	s := open(t, client, "moot")
	values := s.keys("t", "m")[0]
	is := func(want ...string) {
		t.Helper()
		names, next, err := s.List(ctx, "t", "m", "", 10)
		if err != nil || next != "" || !slices.Equal(names, want) {
			t.Errorf("listed %q, cursor %q, %v; want %q", names, next, err, want)
		}
	}
	do := func(args ...any) {
		t.Helper()
		if err := server.Do(args...); err != nil {
			t.Fatal(err)
		}
	}
	do("HSET", values, "b", "1", "a", "1", "c", "1")
	is("a", "b", "c")
	do("HSET", values, "d", "1")
	is("a", "b", "c", "d")
	do("HSET", values, "e", "1") // the number of keys is unchanged
	do("HDEL", values, "a")
	is("b", "c", "d", "e")
	if _, err := s.Set(ctx, store.Key{Tenant: "t", Module: "m", Name: "b"}, nil, 0); err != nil {
		t.Fatal(err)
	}
	is("c", "d", "e")
}
