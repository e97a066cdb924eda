package host_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mootchat/moot/host"
)

func TestTheStoreListsTheKeysOfANamespace(t *testing.T) {
	store, ctx := host.NewMemoryStore(), t.Context()
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("k%02d", i)
		want = append(want, name)
		if _, err := store.Set(ctx, host.Key{Tenant: "a", Module: "m", Name: name}, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []host.Key{{Tenant: "a", Module: "n", Name: "x"}, {Tenant: "b", Module: "m", Name: "x"}} {
		if _, err := store.Set(ctx, k, []byte("v"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Set(ctx, host.Key{Tenant: "a", Module: "m", Name: "k-ended"}, []byte("v"), -time.Second); err != nil {
		t.Fatal(err)
	}
	var got []string
	for cursor, pages := "", 1; ; pages++ {
		names, next, err := store.List(ctx, "a", "m", cursor, 10)
		if err != nil || len(names) > 10 || pages > 3 {
			t.Fatalf("page %d: %q, %v", pages, names, err)
		}
		got = append(got, names...)
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
