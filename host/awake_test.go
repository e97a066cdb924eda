package host

import (
	"fmt"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// alive returns the number of instances of the tenant's first entry.
func alive(h *Host, tenant string) int {
	return int(h.current.Load().tenants[tenant].entries[0].generation.pool.alive.Load())
}

// TestInstancesComeAndGoWithUse checks that a module has no instance before its first call, and that idle instances are
// closed.
func TestInstancesComeAndGoWithUse(t *testing.T) {
	h, _ := start(t, Config{})
	swap(t, h, tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"}))
	if alive(h, "t0")+alive(h, "t1") != 0 || used(h, "t0") != 0 {
		t.Fatalf("after the load: %d and %d instances, %d bytes", alive(h, "t0"), alive(h, "t1"), used(h, "t0"))
	}
	for range 2 {
		if v := asks(h, "t0"); v.Outcome != hook.Allowed {
			t.Errorf("%+v", v)
		}
		if alive(h, "t0") != 1 || alive(h, "t1") != 0 || used(h, "t0") != 1536<<10 {
			t.Errorf("after a message: %d and %d instances, %d bytes", alive(h, "t0"), alive(h, "t1"), used(h, "t0"))
		}
		h.memory.awake.sweep(now() + int64(stealAfter)/2)
		if alive(h, "t0") != 1 {
			t.Error("an instance that was used five seconds ago is closed")
		}
		h.memory.awake.sweep(now() + int64(stealAfter))
		if alive(h, "t0") != 0 || used(h, "t0") != 0 || len(h.memory.awake.list()) != 0 {
			t.Errorf("when it is idle: %d instances, %d bytes, %d pools", alive(h, "t0"), used(h, "t0"), len(h.memory.awake.list()))
		}
	}
	put := hold(t, h, "t0")
	h.memory.awake.sweep(now() + int64(time.Hour))
	if alive(h, "t0") != 1 {
		t.Error("an instance that is in use is closed")
	}
	put()
}

// TestGarbageOfManyInstancesIsCollected checks that the garbage of instances is collected when many of them are closed at once.
func TestGarbageOfManyInstancesIsCollected(t *testing.T) {
	h, _ := start(t, Config{Memory: 1 << 30})
	var chain []Entry
	for range manyInstances {
		chain = append(chain, Entry{Module: "allow"})
	}
	swap(t, h, tenantsOf(chain...))
	collected := 0
	h.memory.awake.release = func() { collected++ }
	for _, c := range []struct{ awake, collected int }{{manyInstances - 1, 0}, {manyInstances, 1}, {0, 1}} {
		for i := range c.awake {
			asks(h, fmt.Sprint("t", i))
		}
		h.memory.awake.sweep(now() + int64(stealAfter))
		if collected != c.collected {
			t.Errorf("after %d instances: collected %d times, want %d", c.awake, collected, c.collected)
		}
	}
}

// TestAReloadKeepsModulesAwake checks that after a reload a module has an instance if it had one before, and none
// otherwise.
func TestAReloadKeepsModulesAwake(t *testing.T) {
	h, _ := start(t, Config{})
	rules := tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"})
	swap(t, h, rules)
	asks(h, "t0")
	swap(t, h, again(rules, 1))
	if alive(h, "t0") != 1 || alive(h, "t1") != 0 {
		t.Errorf("%d and %d instances", alive(h, "t0"), alive(h, "t1"))
	}
}

// TestMemoryIsTakenFromTenantsThatHaveMore checks that a tenant that needs memory has the least recently used instances
// closed, but none of a tenant that has less.
func TestMemoryIsTakenFromTenantsThatHaveMore(t *testing.T) {
	h, _ := start(t, Config{Memory: 12 << 20, Instances: 4})
	var chain []Entry
	for range 5 {
		chain = append(chain, Entry{Module: "allow"}) // 1.5 MiB each; a part has 1.2 MiB, and 6 MiB are shared
	}
	swap(t, h, tenantsOf(chain...))
	var puts []func()
	for range 3 {
		puts = append(puts, hold(t, h, "t0"))
	}
	for _, put := range puts {
		put()
	}
	for _, tenant := range []string{"t1", "t2", "t3"} {
		asks(h, tenant)
	}
	has := func() string {
		return fmt.Sprint(alive(h, "t0"), alive(h, "t1"), alive(h, "t2"), alive(h, "t3"), alive(h, "t4"))
	}
	if has() != "3 1 1 1 0" {
		t.Fatalf("the test is wrong: %s instances", has())
	}
	b := h.current.Load().tenants["t4"].memory
	n := b.reserved + 2<<20
	if err := b.claim(n, true, nil); err != nil || has() != "2 1 1 1 0" && has() != "1 1 1 1 0" {
		t.Errorf("%s instances: %v", has(), err)
	}
	before := has()
	if err := b.claim(4<<20, false, nil); err == nil {
		t.Error("it has more than there is")
		b.give(4 << 20)
	} else if has() != before {
		t.Errorf("instances of tenants that have less were closed: %s, %s before", has(), before)
	}
	b.give(n)
}

// TestATenantWakesBesideIdleTenantsThatHaveLess checks that the first instance of a module finds memory while tenants that
// have less, but not much less, hold all of it in idle instances, and that further instances take only those that were
// not used for a while.
func TestATenantWakesBesideIdleTenantsThatHaveLess(t *testing.T) {
	h, _ := start(t, Config{Memory: 12 << 20})
	var chain []Entry
	for range 5 {
		chain = append(chain, Entry{Module: "allow"})
	}
	swap(t, h, tenantsOf(chain...))
	for _, tenant := range []string{"t1", "t2", "t3"} {
		asks(h, tenant)
	}
	m, tenants := h.memory, h.current.Load().tenants
	each := tenants["t1"].memory.borrowed
	rest := tenants["t0"].memory.reserved + m.shared - m.lent
	if err := tenants["t0"].memory.take(rest, true); err != nil || each == 0 {
		t.Fatalf("the test is wrong: %v, %d bytes are borrowed", err, each)
	}
	defer tenants["t0"].memory.give(rest)
	b := tenants["t4"].memory
	has := func() string { return fmt.Sprint(alive(h, "t1"), alive(h, "t2"), alive(h, "t3")) }
	if err := b.claim(b.reserved+(wakeRatio+1)*each, true, nil); err == nil || has() != "1 1 1" {
		t.Errorf("%v: instances of tenants that have much less were closed: %s", err, has())
	}
	if err := b.claim(b.reserved+2*each, true, nil); err != nil || has() != "0 0 1" {
		t.Errorf("%v: %s instances", err, has())
	}
	defer b.give(b.reserved + 2*each)
	if err := b.claim(each, false, nil); err == nil || has() != "0 0 1" {
		t.Errorf("%v: an instance in use was closed for a further one: %s", err, has())
	}
	poolOf(h, "t3").used.Store(now() - int64(stealAfter))
	if err := b.claim(each, false, nil); err != nil || has() != "0 0 0" {
		t.Errorf("%v: %s instances", err, has())
	}
	b.give(each)
}
