// Package storetest tests implementations of [store.Store]. Tests that depend on time wait for milliseconds,
// unless they fail.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/host/store"
)

// Run runs each test on the empty store that start returns.
func Run(t *testing.T, start func(t *testing.T) store.Store) {
	for name, test := range map[string]func(w *world){
		"SetAndGet":             setAndGet,
		"AnyNameAndValue":       anyNameAndValue,
		"NamespacesAreSeparate": namespacesAreSeparate,
		"SwapNeedsTheOldValue":  swapNeedsTheOldValue,
		"ConcurrentSwaps":       concurrentSwaps,
		"AddCounts":             addCounts,
		"AddNeedsANumber":       addNeedsANumber,
		"ValuesExpire":          valuesExpire,
		"NamespaceIsBounded":    namespaceIsBounded,
		"ListIsInOrder":         listIsInOrder,
		"PagesAreStable":        pagesAreStable,
		"BucketRefills":         bucketRefills,
		"ConcurrentTakes":       concurrentTakes,
		"CachedCatchesUp":       cachedCatchesUp,
		"ReadsCreateNothing":    readsCreateNothing,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			test(&world{t, ctx, start(t)})
		})
	}
}

type world struct {
	*testing.T
	ctx   context.Context
	store store.Store
}

func key(name string) store.Key { return store.Key{Tenant: "t", Module: "m", Name: name} }

func (w *world) set(k store.Key, value []byte, ttl time.Duration, want bool) {
	w.Helper()
	if had, err := w.store.Set(w.ctx, k, value, ttl); had != want || err != nil {
		w.Fatalf("set %q: it was there: %v, %v; want %v", k.Name, had, err, want)
	}
}

func (w *world) holds(k store.Key, want []byte) {
	w.Helper()
	got, err := w.store.Get(w.ctx, k)
	if err != nil || (got == nil) != (want == nil) || string(got) != string(want) {
		w.Fatalf("%q holds %.40q (nil: %v), %v; want %.40q (nil: %v)", k.Name, got, got == nil, err, want, want == nil)
	}
}

func (w *world) swap(k store.Key, old, value []byte, want bool) {
	w.Helper()
	if done, err := w.store.Swap(w.ctx, k, old, value, 0); done != want || err != nil {
		w.Fatalf("swap %.20q for %.20q: %v, %v; want %v", old, value, done, err, want)
	}
}

func (w *world) add(k store.Key, delta, want int64) {
	w.Helper()
	if sum, err := w.store.Add(w.ctx, k, delta, 0); sum != want || err != nil {
		w.Fatalf("add %d: %d, %v; want %d", delta, sum, err, want)
	}
}

// eventually waits until cond holds.
func (w *world) eventually(what string, cond func() bool) {
	w.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.Fatalf("%s: this has not happened", what)
		}
	}
}

func setAndGet(w *world) {
	k := key("k")
	w.holds(k, nil)
	w.set(k, []byte("1"), 0, false)
	w.holds(k, []byte("1"))
	w.set(k, []byte("2"), 0, true)
	w.holds(k, []byte("2"))
	w.set(k, []byte{}, 0, true)
	w.holds(k, []byte{})
	w.set(k, nil, 0, true)
	w.holds(k, nil)
	w.set(k, nil, 0, false)
}

func anyNameAndValue(w *world) {
	for i, name := range []string{"a", "a b", "\x00\xff\r\n", "{x}", "*", "a:b", "ä"} {
		value := []byte(fmt.Sprint(i, "\x00\xff\r\n", name))
		w.set(key(name), value, 0, false)
		given := slices.Clone(value)
		clear(value) // the store must have made a copy
		w.holds(key(name), given)
	}
	big := make([]byte, store.MaxValueBytes)
	w.set(key("big"), big, 0, false)
	w.holds(key("big"), big)
}

func namespacesAreSeparate(w *world) {
	all := []store.Key{{Tenant: "a", Module: "b", Name: "k"}, {Tenant: "b", Module: "a", Name: "k"}, {Tenant: "a", Module: "a", Name: "k"},
		{Tenant: "a-b", Module: "c", Name: "k"}, {Tenant: "a", Module: "b-c", Name: "k"}}
	for i, k := range all {
		w.set(k, fmt.Append(nil, i), 0, false)
	}
	for i, k := range all {
		w.holds(k, fmt.Append(nil, i))
		if wait, err := w.store.Take(w.ctx, k, 1, 1, time.Hour); wait != 0 || err != nil {
			w.Errorf("take: %v, %v", wait, err)
		}
	}
}

func swapNeedsTheOldValue(w *world) {
	k := key("k")
	w.swap(k, []byte("1"), []byte("2"), false)
	w.swap(k, []byte{}, []byte("2"), false)
	w.swap(k, nil, []byte("1"), true)
	w.swap(k, nil, []byte("2"), false)
	w.swap(k, []byte("x"), []byte("2"), false)
	w.holds(k, []byte("1"))
	w.swap(k, []byte("1"), []byte{}, true)
	w.swap(k, []byte{}, []byte("2"), true)
	w.swap(k, []byte("2"), nil, true)
	w.holds(k, nil)
	w.swap(k, nil, nil, true)
	w.holds(k, nil)
}

func concurrentSwaps(w *world) {
	k := key("k")
	w.set(k, []byte("0"), 0, false)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for done := 0; done < 25; {
				old, err := w.store.Get(w.ctx, k)
				if err != nil {
					w.Error(err)
					return
				}
				var n int
				fmt.Sscan(string(old), &n)
				if is, err := w.store.Swap(w.ctx, k, old, fmt.Append(nil, n+1), 0); err != nil {
					w.Error(err)
					return
				} else if is {
					done++
				}
			}
		})
	}
	all.Wait()
	w.holds(k, []byte("200"))
}

func addCounts(w *world) {
	k := key("k")
	w.add(k, 5, 5)
	w.add(k, -7, -2)
	w.holds(k, []byte("-2"))
	w.set(k, []byte("9007199254740993"), 0, true) // more than a double holds
	w.add(k, 2, 9007199254740995)
	w.set(k, fmt.Append(nil, math.MaxInt64-1), 0, true)
	w.add(k, 1, math.MaxInt64)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := w.store.Add(w.ctx, key("many"), 1, 0); err != nil {
					w.Error(err)
				}
			}
		})
	}
	all.Wait()
	w.holds(key("many"), []byte("400"))
}

func addNeedsANumber(w *world) {
	for _, held := range []string{"", "x", "1.5", " 1", "+1", "01", "9223372036854775807"} {
		w.set(key(held), []byte(held), 0, false)
		if sum, err := w.store.Add(w.ctx, key(held), 1, 0); !errors.Is(err, store.ErrNotNumber) {
			w.Errorf("%q and 1 make %d, %v", held, sum, err)
		}
		w.holds(key(held), []byte(held))
	}
}

func valuesExpire(w *world) {
	brief := 30 * time.Millisecond
	w.set(key("past"), []byte("v"), -time.Second, false)
	w.holds(key("past"), nil)
	w.set(key("set"), []byte("v"), brief, false)
	w.set(key("kept"), []byte("v"), brief, false)
	w.set(key("kept"), []byte("v"), 0, true)
	if _, err := w.store.Add(w.ctx, key("add"), 1, brief); err != nil {
		w.Fatal(err)
	}
	if _, err := w.store.Add(w.ctx, key("add"), 1, time.Hour); err != nil { // keeps the first time of expiry
		w.Fatal(err)
	}
	if _, err := w.store.Swap(w.ctx, key("swap"), nil, []byte("v"), brief); err != nil {
		w.Fatal(err)
	}
	for _, name := range []string{"set", "add", "swap"} {
		w.eventually(name+" ends", func() bool { v, err := w.store.Get(w.ctx, key(name)); return v == nil && err == nil })
	}
	w.holds(key("kept"), []byte("v"))
	w.swap(key("swap"), nil, []byte("again"), true)
	w.add(key("add"), 1, 1)
	w.set(key("set"), []byte("v"), 0, false)
	names, _, err := w.store.List(w.ctx, "t", "m", "", 10)
	if err != nil || !slices.Equal(names, []string{"add", "kept", "set", "swap"}) {
		w.Errorf("listed %q, %v", names, err)
	}
}

// fill sets n keys concurrently.
func (w *world) fill(n int, ttl time.Duration) {
	w.Helper()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := g; i < n; i += 8 {
				if _, err := w.store.Set(w.ctx, key(fmt.Sprint("fill ", i)), fmt.Append(nil, i), ttl); err != nil {
					w.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func namespaceIsBounded(w *world) {
	w.fill(store.MaxKeys, 0)
	isFull := func(what string, err error) {
		w.Helper()
		if !errors.Is(err, store.ErrFull) {
			w.Errorf("%s: %v, want ErrFull", what, err)
		}
	}
	_, err := w.store.Set(w.ctx, key("one more"), []byte("x"), 0)
	isFull("set", err)
	_, err = w.store.Swap(w.ctx, key("one more"), nil, []byte("x"), 0)
	isFull("swap", err)
	_, err = w.store.Add(w.ctx, key("one more"), 1, 0)
	isFull("add", err)
	w.holds(key("one more"), nil)
	w.set(key("fill 1"), []byte("x"), 0, true)
	w.set(key("fill 1"), nil, 0, true)
	w.set(key("one more"), []byte("x"), 0, false)

	big := func(i int) store.Key { return store.Key{Tenant: "t", Module: "big", Name: fmt.Sprint(i)} }
	n := 0
	for ; err == nil || n == 0; n++ {
		_, err = w.store.Set(w.ctx, big(n), make([]byte, store.MaxValueBytes), 0)
	}
	isFull("too many bytes", err)
	if most := store.MaxNamespaceBytes / store.MaxValueBytes; n-1 > most || n-1 < most-1 {
		w.Errorf("%d values of %d bytes fit", n-1, store.MaxValueBytes)
	}
	w.set(big(0), nil, 0, true)
	w.set(big(n), make([]byte, store.MaxValueBytes), 0, false)
}

func listIsInOrder(w *world) {
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("k%02d", i))
		w.set(key(want[i]), []byte("v"), 0, false)
	}
	w.set(store.Key{Tenant: "t", Module: "other", Name: "x"}, []byte("v"), 0, false)
	if got := w.list(10, 3, func(int) {}); !slices.Equal(got, want) {
		w.Errorf("listed %q, want %q", got, want)
	}
}

// list returns the names of all pages, and calls between after each page but the last. There may be at most
// most pages.
func (w *world) list(limit, most int, between func(page int)) (all []string) {
	w.Helper()
	for cursor, page := "", 1; ; page++ {
		names, next, err := w.store.List(w.ctx, "t", "m", cursor, limit)
		if err != nil || len(names) > limit || page > most {
			w.Fatalf("page %d: %q, %v", page, names, err)
		}
		all = append(all, names...)
		if cursor = next; cursor == "" {
			return all
		}
		between(page)
	}
}

// pagesAreStable checks that keys that exist from the first page to the last are on exactly one page, in the
// order of their bytes, even if the key of a cursor is removed.
func pagesAreStable(w *world) {
	name := func(i int) string { return fmt.Sprintf("%c%02x", "a\xff\x01Zé"[i%6], i) }
	var want []string
	for i := range 60 {
		w.set(key(name(i)), []byte("v"), 0, false)
		if i%3 != 0 {
			want = append(want, name(i))
		}
	}
	w.set(key("b-past"), []byte("v"), -time.Second, false)
	slices.Sort(want)
	got := w.list(4, 40, func(page int) {
		if page <= 20 {
			w.set(key(name(3*(page-1))), nil, 0, true)                      // remove one, which may be the cursor
			w.set(key(fmt.Sprintf("new%02d", page)), []byte("v"), 0, false) // and add one
		}
	})
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		w.Errorf("pages are not in order, or have a key twice: %q", got)
	}
	stayed := slices.DeleteFunc(got, func(k string) bool { return !slices.Contains(want, k) })
	if !slices.Equal(stayed, want) {
		w.Errorf("pages had %q of the keys that stay, want %q", stayed, want)
	}
}

func bucketRefills(w *world) {
	k, per := key("b"), 200*time.Millisecond
	take := func(tokens int) time.Duration {
		w.Helper()
		wait, err := w.store.Take(w.ctx, k, tokens, 3, per)
		if err != nil || wait < 0 || wait > time.Duration(tokens)*per {
			w.Fatalf("take %d: %v, %v", tokens, wait, err)
		}
		return wait
	}
	if take(2) != 0 || take(1) != 0 {
		w.Fatal("a new bucket is not full")
	}
	wait := take(1)
	if wait == 0 {
		w.Fatal("an empty bucket gave a token")
	}
	began := time.Now()
	w.eventually("there is one again", func() bool { return take(1) == 0 })
	if took := time.Since(began); took < wait-20*time.Millisecond {
		w.Errorf("it took %v, want at least %v", took, wait)
	}
}

func concurrentTakes(w *world) {
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				wait, err := w.store.Take(w.ctx, key("b"), 1, 50, time.Hour)
				if err != nil {
					w.Error(err)
				}
				if wait == 0 {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 50 {
		w.Errorf("%d of 50 were taken", taken.Load())
	}
}

// cachedCatchesUp checks that Cached returns a change after a short time.
func cachedCatchesUp(w *world) {
	k := key("k")
	for _, value := range [][]byte{[]byte("1"), {}, []byte("2"), nil, []byte("3")} {
		if _, err := w.store.Set(w.ctx, k, value, 0); err != nil {
			w.Fatal(err)
		}
		w.eventually(fmt.Sprintf("the copy is %q", value), func() bool {
			got := w.store.Cached(k)
			return string(got) == string(value) && (got == nil) == (value == nil)
		})
	}
}

// readsCreateNothing checks that reads of keys that do not exist, each in another namespace, use no memory.
func readsCreateNothing(w *world) {
	const rounds, each, most = 3, 2000, 32 // bytes per read below which nothing is created
	ask := func(name string) {
		k := store.Key{Tenant: "nobody's " + name, Module: "m" + name, Name: "k" + name}
		w.holds(k, nil)
		if names, next, err := w.store.List(w.ctx, k.Tenant, k.Module, "", 10); len(names) > 0 || next != "" || err != nil {
			w.Fatalf("%v, %q, %v", names, next, err)
		}
	}
	ask("first") // scripts are loaded, buffers made
	least := uint64(math.MaxUint64)
	for round := range rounds {
		before := inUse()
		for i := range each {
			ask(fmt.Sprint(round, " ", i))
		}
		least = min(least, max(inUse(), before)-before)
	}
	if least > each*most {
		w.Errorf("reading a namespace that does not exist keeps %d bytes", least/each)
	}
}

// inUse returns the bytes of the heap that are in use.
func inUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // objects with finalizers
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
