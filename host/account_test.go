package host

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
)

// beside returns a host whose modules are charged to tenant "t" of h. It closes at the end of the test.
func beside(t *testing.T, h *Host, abort <-chan struct{}, e Entry) *Host {
	t.Helper()
	a := h.Account("t")
	if a == nil {
		t.Fatal("the tenant has no account")
	}
	b, err := New(Config{Account: a, Abort: abort, Awake: true, StartTimeout: patience, ChainTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		a.Release()
	})
	r, err := b.Load(context.Background(), rulesFor(e))
	if err != nil {
		t.Fatal(err)
	}
	b.Swap(r)
	return b
}

// TestAnAccountPays checks that processor time and memory of a module are charged to its own tenant only.
func TestAnAccountPays(t *testing.T) {
	h, _ := start(t, Config{Memory: 64 << 20})
	rules := tenantsOf(Entry{Module: "allow"}, Entry{Module: "allow"})
	rules.Tenants[0].Name, rules.Tenants[0].CPU = "t", 0.25
	swap(t, h, rules)
	of := h.current.Load().tenants
	mine, theirs, due := used(h, "t"), used(h, "t1"), of["t1"].gate.due.Load()
	share := of["t"].share
	b := beside(t, h, nil, Entry{Module: "loop", Timeout: 100 * time.Millisecond})
	if got := used(h, "t"); got != mine+1536<<10 {
		t.Errorf("its tenant uses %d bytes, %d before", got, mine)
	}
	before := max(now(), of["t"].gate.due.Load())
	if v, _ := decide(b, "hello"); v.Outcome != hook.Failed {
		t.Errorf("%+v", v)
	}
	if paid := float64(of["t"].gate.due.Load()-before) * share; paid < float64(10*time.Millisecond) {
		t.Errorf("a loop of 100 ms cost its tenant %v", time.Duration(paid))
	}
	if of["t1"].gate.due.Load() != due || used(h, "t1") != theirs {
		t.Error("it cost another tenant")
	}
	if got := h.current.Load().tenants["t"].share; got != share {
		t.Errorf("the share is %v, it was %v", got, share)
	}
	if h.Account("nobody") != nil {
		t.Error("an unknown tenant has an account")
	}
}

// TestLoadingIsPaid checks that a load is charged to the tenant, and that Wait waits while the tenant has used
// too much, until its context ends.
func TestLoadingIsPaid(t *testing.T) {
	h, _ := start(t, Config{}, Entry{Module: "allow"})
	of := h.current.Load().tenants["t"]
	before := max(now(), of.gate.due.Load())
	beside(t, h, nil, goEntry(`{}`))
	if of.gate.due.Load() <= before {
		t.Error("it cost nothing")
	}
	a := h.Account("t")
	defer a.Release()
	of.gate.due.Store(now() + int64(time.Hour))
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error)
	go func() { waited <- a.Wait(ctx) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	of.gate.due.Store(0)
	if err := a.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestCallsAreAborted checks that calls end when Abort is closed, both while they run and while they wait for
// their share.
func TestCallsAreAborted(t *testing.T) {
	for _, throttled := range []bool{false, true} {
		h, _ := start(t, Config{}, Entry{Module: "allow"})
		abort := make(chan struct{})
		b := beside(t, h, abort, Entry{Module: "loop", Timeout: time.Hour})
		if throttled {
			h.current.Load().tenants["t"].gate.due.Store(now() + int64(time.Hour))
		}
		done := make(chan hook.Verdict)
		go func() { v, _ := decide(b, "hello"); done <- v }()
		for b.current.Load().generations[0].pool.warm.Load() != nil { // until the call has started
			runtime.Gosched()
		}
		close(abort)
		if v := <-done; v.Outcome != hook.Failed {
			t.Errorf("%+v", v)
		}
		if s := b.Stats()[0]; s.Errors["deadline"] != 1 {
			t.Errorf("%+v", s)
		}
	}
}

// TestAnAccountIsBounded checks that a host with an account gets no more memory than the tenant.
func TestAnAccountIsBounded(t *testing.T) {
	h, _ := start(t, Config{Memory: 5 << 19}, Entry{Module: "allow"})
	hold(t, h, "t") // 1.5 MiB
	a := h.Account("t")
	defer a.Release()
	b, err := New(Config{Account: a, Awake: true, StartTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := b.Load(context.Background(), rulesFor(Entry{Module: "allow"}))
	if err == nil {
		r.Close()
		t.Fatal("it has more than its tenant")
	}
	if !strings.Contains(err.Error(), "tenant t has no memory left") {
		t.Error(err)
	}
}
