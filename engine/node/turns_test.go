package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func ready(context.Context) error { return nil }

// TestTurnsAreOfTenants checks that turns of one tenant wait for each other, but not for turns of
// another tenant.
func TestTurnsAreOfTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		end, err := turns.take(t.Context(), "acme", ready)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			go func() {
				if end, err := turns.take(t.Context(), "acme", ready); err == nil {
					time.Sleep(time.Second)
					end()
				}
			}()
		}
		synctest.Wait()
		begin := time.Now()
		other, err := turns.take(t.Context(), "other", ready)
		if err != nil || time.Since(begin) > 0 {
			t.Errorf("another tenant waited %v: %v", time.Since(begin), err)
		}
		other()
		end()
		synctest.Wait()
		if took := len(turns.all); took != 1 {
			t.Errorf("%d of the three have their turn, want one", took)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(turns.all) != 0 || len(turns.tenants) != 0 {
			t.Errorf("%d turns and %d tenants are left", len(turns.all), len(turns.tenants))
		}
	})
}

// TestAllTurnsAreBounded checks that the turns of all tenants are bounded, and that a tenant that asks
// repeatedly delays another tenant by one turn.
func TestAllTurnsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		ctx, cancel := context.WithCancel(t.Context())
		var most atomic.Int64
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				for {
					end, err := turns.take(ctx, fmt.Sprint("greedy", i), ready)
					if err != nil {
						return
					}
					if now := int64(len(turns.all)); now > most.Load() {
						most.Store(now)
					}
					time.Sleep(time.Second)
					end()
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		end, err := turns.take(ctx, "patient", ready)
		if waited := time.Since(begin); err != nil || waited > 3*time.Second { // five others wait before it, and two run at a time
			t.Errorf("it waited %v: %v", waited, err)
		}
		end()
		if most.Load() != 2 {
			t.Errorf("%d turns at a time", most.Load())
		}
		cancel()
		all.Wait()
	})
}

// TestATurnIsGivenUp checks that waiting for a turn ends with the request, and that no state is
// left.
func TestATurnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		end, _ := turns.take(t.Context(), "acme", ready)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		given := make(chan error, 3)
		wait := func(tenant string, ready func(context.Context) error) {
			_, err := turns.take(ctx, tenant, ready)
			given <- err
		}
		go wait("acme", ready)                                                               // waits for the tenant's turn
		go wait("other", ready)                                                              // waits for one of all turns
		go wait("third", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) // waits for its share
		for range 3 {
			if err := <-given; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		end()
		if len(turns.all) != 0 || len(turns.tenants) != 0 {
			t.Errorf("%d turns and %d tenants are left", len(turns.all), len(turns.tenants))
		}
	})
}
