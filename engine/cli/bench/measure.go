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

// measure runs the senders and measures the deliveries.
func (r *run) measure(ctx context.Context) (*Result, error) {
	m := &meter{r, newHistogram(), newHistogram()}

	begin, err := r.sample()
	if err != nil {
		return nil, err
	}
	silent := r.startSenders(ctx)
	if r.o.Warmup > 0 {
		if begin, err = r.warmUp(ctx, m, silent); err != nil {
			return nil, err
		}
	}
	deliveries, err := r.pass(ctx, m, Measuring, silent)
	if err != nil {
		return nil, err
	}
	end, gone := r.sample()
	how := r.ending(ctx, silent)
	r.stopSenders()
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

// warmUp waits for the end of the warm-up and returns the sample at its end.
func (r *run) warmUp(ctx context.Context, m *meter, silent <-chan struct{}) (sample, error) {
	if _, err := r.pass(ctx, m, Warmup, silent); err != nil {
		return sample{}, err
	}
	if how := r.ending(ctx, silent); how != "" {
		r.close()
		return sample{}, &notMeasuredError{how, r.closed()}
	}
	return r.sample()
}

// startSenders starts the senders, which end with ctx or stopSenders. silent is closed when all have ended.
func (r *run) startSenders(ctx context.Context) (silent <-chan struct{}) {
	ctx, r.stopSenders = context.WithCancel(ctx)
	r.from = r.now() + r.o.Warmup
	var senders sync.WaitGroup
	if r.o.Window == 0 {
		senders.Go(func() { r.openLoop(ctx) })
	} else {
		for _, s := range r.senders {
			senders.Go(func() { s.closedLoop(ctx) })
		}
	}
	done := make(chan struct{})
	r.running.Go(func() {
		senders.Wait()
		close(done)
	})
	return done
}

// pass waits until the phase, ctx or all senders end, and returns the number of deliveries in the phase.
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
		if passed := now - last; passed > time.Second/2 || !over { // a shorter time has no meaningful rate
			r.report(Progress{Phase: phase, Connected: len(r.members), Elapsed: now - begin, Deliveries: float64(n) / passed.Seconds(), P99: p99})
		}
		last = now
	}
	return deliveries, nil
}

// Reasons for the early end of a run.
const (
	interrupted  = "interrupted"
	usedUp       = "all messages (--max-messages) were sent"
	disconnected = "the server closed the senders' connections"
)

// ending returns the reason for an early end of the run; "": the run did not end early.
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

// notMeasuredError is the error of a run that ended before the measurement.
type notMeasuredError struct {
	why    string
	closed map[string]int // connections that the server closed, by reason
}

func (e *notMeasuredError) Error() string {
	text := "nothing was measured: " + e.why
	for _, reason := range slices.Sorted(maps.Keys(e.closed)) {
		text += fmt.Sprintf("\n  %d closed by the server: %s", e.closed[reason], reason)
	}
	return text
}

// sample has the counters at one point in time.
type sample struct {
	at             time.Duration
	sent           int64
	server, client usage
	busy, all      float64 // the host's processors, see hostTime
}

func (r *run) sample() (l sample, err error) {
	l.at = r.now()
	for _, s := range r.senders {
		l.sent += s.sent.Load()
	}
	l.client, _ = usageOf(os.Getpid()) // unknown on some systems
	l.busy, l.all = hostTime()
	l.server, err = r.server()
	return l, err
}

// Limits of drain: of the time without a delivery, and of the whole time.
const (
	quiet    = 2 * time.Second
	maxDrain = 30 * time.Second
)

// drain waits until all messages in flight have arrived, or no further message arrives.
func (r *run) drain(silent <-chan struct{}) error {
	settled, since := int64(-1), r.now()
	for end := r.now() + maxDrain; r.now() < end; {
		sleep(context.Background(), 5*time.Millisecond)
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
		default: // a sender is still writing its last message
		}
		if n != settled {
			settled, since = n, r.now()
		} else if r.now()-since > quiet {
			return nil
		}
	}
	return nil
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// close ends the senders and the connections, and waits for all goroutines. It may be called more than once.
func (r *run) close() {
	r.over.Store(true)
	r.stopSenders()
	for _, m := range r.members {
		if m.conn != nil {
			_ = m.Close() // it may be closed already
		}
	}
	r.running.Wait()
}

// closed counts the connections that the server closed, by reason. It is called after close.
func (r *run) closed() map[string]int {
	reasons := map[string]int{}
	for _, m := range r.members {
		if m.closed != "" {
			reasons[m.closed]++
		}
	}
	return reasons
}

// meter has the latencies of a run.
type meter struct {
	run       *run
	second    *hdrhistogram.Histogram // deliveries of the last second
	latencies *hdrhistogram.Histogram // deliveries of messages sent after the warm-up
}

// take collects the deliveries since the last take.
func (m *meter) take() (deliveries int64, p99 time.Duration) {
	m.second.Reset()
	for _, s := range m.run.shards {
		s.take(m.second, m.latencies)
	}
	return m.second.TotalCount(), time.Duration(m.second.ValueAtPercentile(99)) * time.Microsecond
}
