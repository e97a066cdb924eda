package stream

import (
	"context"
	"sync"
	"time"
)

// Poller waits for the streams that rest, and wakes them.
type Poller struct {
	epoll *epoll // nil: each stream waits in a goroutine of its own
	crew  crew
}

// NewPoller makes a poller; Run starts it. The error is the system's, and says
// that it has no epoll to give.
func NewPoller(r Reading) (*Poller, error) {
	p := &Poller{crew: crew{work: make(chan func()), idle: make(chan struct{}, idleWorkers), over: make(chan struct{})}}
	var err error
	if r == Polled {
		p.epoll, err = newEpoll()
	}
	return p, err
}

// Run serves while serve does, which returns when all streams that p watches
// have ended: nothing wakes one that is left. serve's context ends with ctx, or
// when the system fails p; that is Run's error then. Run is called once.
func (p *Poller) Run(ctx context.Context, serve func(context.Context)) error {
	defer p.crew.end()
	if p.epoll == nil {
		serve(ctx)
		return nil
	}
	serving, fail := context.WithCancel(ctx)
	defer fail()
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() {
		ran <- p.epoll.run(polling, p.wake)
		fail()
	}()
	serve(serving)
	stop()
	return <-ran
}

// Watch has s rest in p. It is called before the first Rest.
func (p *Poller) Watch(s *Stream) {
	s.rest.poller = p
	s.rest.polled = p.epoll != nil && p.epoll.add(s)
}

// Poll wakes the streams that have something to read, without waiting, on the
// caller's account: the system tells a poller of it when a processor has nothing
// else to do, or after 10 ms. It may be called before Run and after it.
func (p *Poller) Poll() {
	if p.epoll != nil {
		p.epoll.poll(p.wake)
	}
}

// Go calls f on a goroutine that is not the caller's.
func (p *Poller) Go(f func()) { p.crew.do(f) }

// wake wakes the stream if it waits in the epoll.
func (p *Poller) wake(r *rest) {
	if r.waiting.CompareAndSwap(true, false) {
		p.crew.do(r.wake)
	}
}

// crew is goroutines that call functions. One that has done it before has a
// stack that is large enough; in a fresh one the stack would grow each time, and
// that costs more than to read and answer a request does.
type crew struct {
	work chan func()
	idle chan struct{} // as many as wait for work
	over chan struct{}
	all  sync.WaitGroup
}

// idleWorkers is how many goroutines of a crew are kept. There may be many more:
// a function that waits holds up no other one.
const idleWorkers = 32

func (c *crew) do(f func()) {
	select {
	case c.work <- f:
	default:
		c.all.Go(func() { c.serve(f) })
	}
}

func (c *crew) serve(f func()) {
	for {
		f()
		select {
		case c.idle <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-c.work:
			<-c.idle
		case <-c.over:
			return
		}
	}
}

func (c *crew) end() {
	close(c.over)
	c.all.Wait()
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)
