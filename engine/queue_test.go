package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestLaneKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l queue
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

func TestAQueueSkipsCallersThatGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := queue{limit: 2}
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
			t.Errorf("an empty queue gave %v", err)
		}
	})
}

// TestNoTurnIsLost checks that a turn passes to the next caller if its caller has just
// given up.
func TestNoTurnIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l queue
		for range 200 {
			_ = l.enter(t.Context())
			ctx, cancel := context.WithCancel(t.Context())
			waited := make(chan error, 1)
			go func() { waited <- l.enter(ctx) }()
			synctest.Wait()
			cancel() // wakes the waiting caller, which usually locks the queue after leave has run
			l.leave()
			if err := <-waited; err == nil {
				l.leave()
			}
			if l.taken || len(l.waiting) != 0 {
				t.Fatal("the queue was not released")
			}
		}
	})
}
