package engine

import (
	"context"
	"sync"
	"time"
)

// maxQueued is the maximum number of messages in the queue of a room. The next sender
// receives "room busy".
const maxQueued = 256

// queue lets one caller through at a time, in the order of arrival. It orders the messages
// of a room and the changes of its subscription. The sender's goroutine does the work
// itself, so there is no goroutine per message, and a sender that is faster than the room
// waits.
type queue struct {
	limit int // maximum number of waiting callers; 0: no limit

	mu      sync.Mutex
	taken   bool
	waiting []chan struct{}
}

// enter waits for the caller's turn; the caller must then call leave. It fails at once if
// the queue is full, and it fails if ctx ends first.
func (l *queue) enter(ctx context.Context) error {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	if l.limit > 0 && len(l.waiting) >= l.limit {
		l.mu.Unlock()
		return errRoomBusy
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			l.mu.Unlock()
			return ctx.Err()
		}
	}
	l.mu.Unlock()
	l.leave() // the turn came in the meantime; it passes to the next caller
	return ctx.Err()
}

// BeginWait implements hook.Waiter: the caller leaves the queue while its chain waits for a service.
func (l *queue) BeginWait() (retryAfter time.Duration) {
	l.leave()
	return 0
}

// EndWait implements hook.Waiter: the caller waits for its turn again, behind those that wait now. Its place is
// reserved: the queue admits the caller even if it is full.
func (l *queue) EndWait() {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	<-turn
}

func (l *queue) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.taken = false
		l.waiting = nil
		return
	}
	close(l.waiting[0])
	l.waiting = l.waiting[1:]
}
