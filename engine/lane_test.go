package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestLaneKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lane
		var order []int
		_ = l.enter(t.Context())
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				_ = l.enter(context.Background())
				order = append(order, i)
				l.leave()
			})
			synctest.Wait()
		}
		l.leave()
		all.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("caller %d was number %d", n, i)
			}
		}
	})
}

func TestWhoGivesUpALaneIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lane{limit: 2}
		_ = l.enter(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- l.enter(ctx) }()
		synctest.Wait()
		go func() { second <- l.enter(context.Background()) }()
		synctest.Wait()
		if err := l.enter(t.Context()); err != errRoomBusy {
			t.Errorf("got %v with two waiting", err)
		}
		cancel()
		if err := <-first; err != context.Canceled {
			t.Errorf("who gave up got %v", err)
		}
		l.leave()
		if err := <-second; err != nil {
			t.Errorf("the next got %v", err)
		}
		l.leave()
		if err := l.enter(t.Context()); err != nil {
			t.Errorf("an empty lane gave %v", err)
		}
	})
}

// Turns that come just when their callers give up are passed on.
func TestNoTurnIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lane
		var all sync.WaitGroup
		inside, through := 0, 0
		for i := range 2000 {
			ctx, cancel := context.WithCancel(t.Context())
			if i%2 == 1 {
				all.Go(cancel)
			}
			all.Go(func() {
				defer cancel()
				if l.enter(ctx) != nil {
					return
				}
				if inside++; inside != 1 {
					t.Error("two were in the lane")
				}
				through++
				inside--
				l.leave()
			})
		}
		all.Wait()
		if through < 1000 {
			t.Errorf("%d got through, want all 1000 who did not give up", through)
		}
		if l.taken || len(l.waiting) != 0 {
			t.Error("the lane is taken by nobody")
		}
	})
}
