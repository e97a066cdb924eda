package stream

import (
	"context"
	"sync"
	"time"
)

// Poller waits until streams are readable, and wakes them.
type Poller struct {
	epoll   *epoll // nil: each stream waits in its own goroutine
	workers workers
}

// NewPoller makes a poller. Run starts it. NewPoller fails if the system cannot make an
// epoll instance.
func NewPoller(r Reading) (*Poller, error) {
	p := &Poller{workers: workers{work: make(chan func()), idle: make(chan struct{}, maxIdle), done: make(chan struct{})}}
	var err error
	if r == Polled {
		p.epoll, err = newEpoll()
	}
	return p, err
}

// Run wakes streams until serve returns. After Run no stream is woken, so serve must
// return only when all streams that p watches have ended. The context of serve ends
// with ctx, or when epoll fails; in that case Run returns the error of epoll. Call Run
// once.
func (p *Poller) Run(ctx context.Context, serve func(context.Context)) error {
	defer p.workers.stop()
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

// Watch makes p wait for s. Call it before the first WaitReadable.
func (p *Poller) Watch(s *Stream) {
	s.waiter.poller = p
	s.waiter.polled = p.epoll != nil && p.epoll.add(s)
}

// Poll wakes the streams that are readable now, in the caller's goroutine and without
// waiting. On a busy machine it is faster than Run, because Go's scheduler checks for
// readable files only when a processor is idle, or every 10 ms. It may be called at any
// time, also before and after Run.
func (p *Poller) Poll() {
	if p.epoll != nil {
		p.epoll.poll(p.wake)
	}
}

// Go calls f on another goroutine. Run waits for f.
func (p *Poller) Go(f func()) { p.workers.run(f) }

// wake calls the wake function of a stream that waits in the epoll instance, at most
// once per wait.
func (p *Poller) wake(w *waiter) {
	if w.waiting.CompareAndSwap(true, false) {
		p.workers.run(w.wake)
	}
}

// workers are goroutines that call functions. They are reused because their stacks have
// already grown: growing the stack of a new goroutine costs more than reading and
// answering a request.
type workers struct {
	work chan func()
	idle chan struct{} // one element for each idle goroutine
	done chan struct{} // closed by stop
	all  sync.WaitGroup
}

// maxIdle is the number of idle goroutines that are kept. The number of busy goroutines
// has no limit, so that a blocked function does not delay others.
const maxIdle = 32

func (w *workers) run(f func()) {
	select {
	case w.work <- f:
	default:
		w.all.Go(func() { w.serve(f) })
	}
}

func (w *workers) serve(f func()) {
	for {
		f()
		select {
		case w.idle <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-w.work:
			<-w.idle
		case <-w.done:
			return
		}
	}
}

func (w *workers) stop() {
	close(w.done)
	w.all.Wait()
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)
