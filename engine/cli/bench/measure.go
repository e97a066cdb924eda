package bench

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// measure lets the senders talk, and looks at what comes of it.
func (r *run) measure(ctx context.Context) (*Result, error) {
	m := &meter{r, newHistogram(), newHistogram()}

	begin, err := r.look()
	if err != nil {
		return nil, err
	}
	silent := r.talk(ctx)
	if r.o.Warmup > 0 {
		if begin, err = r.warmUp(ctx, m, silent); err != nil {
			return nil, err
		}
	}
	deliveries, err := r.pass(ctx, m, Measuring, silent)
	if err != nil {
		return nil, err
	}
	end, gone := r.look()
	how := r.ending(ctx, silent)
	r.silence()
	if err := r.drain(silent); err != nil {
		return nil, err
	}
	m.take()
	r.close()
	res := r.result(m.latencies, deliveries, begin, end, how)
	if gone != nil {
		res.Server = nil
	}
	return res, gone
}

// warmUp lets the warm-up pass, and looks at how things are then.
func (r *run) warmUp(ctx context.Context, m *meter, silent <-chan struct{}) (look, error) {
	if _, err := r.pass(ctx, m, Warmup, silent); err != nil {
		return look{}, err
	}
	if how := r.ending(ctx, silent); how != "" {
		r.close()
		return look{}, &errNothing{how, r.closed()}
	}
	return r.look()
}

// talk starts the senders, which end with ctx or silence; silent is closed when
// they have.
func (r *run) talk(ctx context.Context) (silent <-chan struct{}) {
	ctx, r.silence = context.WithCancel(ctx)
	r.from = r.now() + r.o.Warmup
	var talkers sync.WaitGroup
	if r.o.Window == 0 {
		talkers.Go(func() { r.openLoop(ctx) })
	} else {
		for _, s := range r.senders {
			talkers.Go(func() { s.closedLoop(ctx) })
		}
	}
	done := make(chan struct{})
	r.running.Go(func() {
		talkers.Wait()
		close(done)
	})
	return done
}

// pass lets a phase pass, until its time is over or ctx or the senders end, and
// gives the deliveries in it.
func (r *run) pass(ctx context.Context, m *meter, phase Phase, silent <-chan struct{}) (deliveries int64, err error) {
	length := r.o.Warmup
	if phase == Measuring {
		length = r.o.Duration
	}
	begin := r.now()
	last := begin
	end := time.NewTimer(length)
	defer end.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case err := <-r.failed:
			return 0, err
		case <-tick.C:
		case <-end.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-silent:
			over = true
		}
		n, p99 := m.take()
		deliveries += n
		now := r.now()
		if passed := now - last; passed > time.Second/2 || !over { // of less there is nothing to tell
			r.tell(Progress{Phase: phase, Connected: len(r.members), Elapsed: now - begin, Deliveries: float64(n) / passed.Seconds(), P99: p99})
		}
		last = now
	}
	return deliveries, nil
}

// Why a run ended before its time.
const (
	interrupted  = "interrupted"
	usedUp       = "all messages (--max-messages) were sent"
	disconnected = "the server closed the senders' connections"
)

// ending is why the run ended before its time; "" if it did not.
func (r *run) ending(ctx context.Context, silent <-chan struct{}) string {
	if ctx.Err() != nil {
		return interrupted
	}
	select {
	case <-silent:
		if r.budget.Load() < 0 {
			return usedUp
		}
		return disconnected
	default:
		return ""
	}
}

// errNothing is when a run ended before it measured.
type errNothing struct {
	why    string
	closed map[string]int // connections that the server ended, by its reasons
}

func (e *errNothing) Error() string {
	text := "nothing was measured: " + e.why
	for _, reason := range slices.Sorted(maps.Keys(e.closed)) {
		text += fmt.Sprintf("\n  %d closed by the server: %s", e.closed[reason], reason)
	}
	return text
}

// look is the state of things at one time.
type look struct {
	at             time.Duration
	sent           int64
	server, client usage
	busy, all      float64 // the host's processors, see hostTime
}

func (r *run) look() (l look, err error) {
	l.at = r.now()
	for _, s := range r.senders {
		l.sent += s.sent.Load()
	}
	l.client, _ = usageOf(os.Getpid()) // it is left out where it is not known
	l.busy, l.all = hostTime()
	l.server, err = r.server()
	return l, err
}

// What is still on its way after the last message was sent has time to come, as
// long as any comes.
const (
	quiet     = 2 * time.Second
	mostDrain = 30 * time.Second
)

// drain waits until all that was sent has come, or nothing comes any more.
func (r *run) drain(silent <-chan struct{}) error {
	settled, since := int64(-1), r.now()
	for end := r.now() + mostDrain; r.now() < end; {
		rest(context.Background(), 5*time.Millisecond)
		n, complete := int64(0), true
		for _, s := range r.senders {
			have := s.settled.Load()
			n += have
			complete = complete && have >= s.sent.Load()*s.listeners.Load()
		}
		select {
		case err := <-r.failed:
			return err
		case <-silent:
			if complete {
				return nil
			}
		default: // a sender still waits for the server to take its last message
		}
		if n != settled {
			settled, since = n, r.now()
		} else if r.now()-since > quiet {
			return nil
		}
	}
	return nil
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// close ends the senders and what is left of the connections, and waits for all
// goroutines. It may be called again.
func (r *run) close() {
	r.over.Store(true)
	r.silence()
	for _, m := range r.members {
		if m.conn != nil {
			_ = m.Close() // it may be closed already
		}
	}
	r.running.Wait()
}

// closed are the connections that the server ended, by its reasons. It is called
// after close.
func (r *run) closed() map[string]int {
	reasons := map[string]int{}
	for _, m := range r.members {
		if m.closed != "" {
			reasons[m.closed]++
		}
	}
	return reasons
}

// meter is what a run has measured so far.
type meter struct {
	run       *run
	second    *hdrhistogram.Histogram // all deliveries of the last second
	latencies *hdrhistogram.Histogram // of what was sent after the warm-up
}

// take gathers what has come since the last take.
func (m *meter) take() (deliveries int64, p99 time.Duration) {
	m.second.Reset()
	for _, s := range m.run.shards {
		s.take(m.second, m.latencies)
	}
	return m.second.TotalCount(), time.Duration(m.second.ValueAtPercentile(99)) * time.Microsecond
}
