package bench

import (
	"context"
	"crypto/rand"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// run is the state of a bench. Fields that are not atomic are set before the goroutines that read them start.
type run struct {
	o         Options
	url       *url.URL
	id        string // part of each message
	beginning []byte // common to the payloads of this run
	began     time.Time
	from      time.Duration // since began: messages sent from here on are measured

	members []*member
	senders []*sender
	shards  []*shard

	budget      atomic.Int64 // messages that may still be sent
	over        atomic.Bool  // bench itself is closing the connections
	failed      chan error   // contains the first error
	stopSenders func()
	running     sync.WaitGroup

	// Resources of the server: before the connections, with all connections, and after Settle.
	before, connected, idle usage
}

// room is a room of the run.
type room struct {
	name    string
	first   int // index of its first sender in the run
	senders []*sender
}

func newRun(o Options) (*run, error) {
	u, err := o.address()
	if err != nil {
		return nil, err
	}
	r := &run{o: o, url: u, id: strings.ToLower(rand.Text()[:runDigits]), began: time.Now(), failed: make(chan error, 1), stopSenders: func() {}}
	r.beginning = beginning(r.id)
	r.budget.Store(int64(o.MaxMessages))
	for range 4 * runtime.GOMAXPROCS(0) { // with this number of shards readers rarely wait for each other
		r.shards = append(r.shards, newShard())
	}
	for i := range o.Rooms {
		room := &room{name: o.room(i), first: i * o.Senders}
		for range o.Members {
			m := &member{run: r, room: room, shard: r.shards[len(r.members)%len(r.shards)], orders: make([]order, o.Senders)}
			r.members = append(r.members, m)
			if len(room.senders) < o.Senders {
				room.senders = append(room.senders, newSender(m, room.first+len(room.senders)))
			}
		}
		r.senders = append(r.senders, room.senders...)
	}
	r.before, err = r.server()
	return r, err
}

// now returns the time since the beginning of the run.
func (r *run) now() time.Duration { return time.Since(r.began) }

// server returns the usage of the server's process; zero if it is not measured.
func (r *run) server() (usage, error) {
	if r.o.PID == 0 {
		return usage{}, nil
	}
	return usageOf(r.o.PID)
}

// fail ends the run with an error. Later errors are ignored.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// allow takes one message from the budget. It returns false if none is left.
func (r *run) allow() bool { return r.budget.Add(-1) >= 0 }

func (r *run) report(p Progress) {
	if r.o.Watch != nil {
		p.Connections = len(r.members)
		r.o.Watch(p)
	}
}

// Limits of connecting.
const (
	dialing     = 64 // concurrent attempts
	joinTimeout = 30 * time.Second
)

// connect connects all members and reports the progress.
func (r *run) connect(ctx context.Context) (err error) {
	var connected atomic.Int64
	done := make(chan error, 1)
	go func() { done <- r.dial(ctx, &connected) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for dialing := true; dialing; {
		select {
		case <-tick.C:
			r.report(Progress{Phase: Connecting, Connected: int(connected.Load())})
		case err = <-done:
			dialing = false
		}
	}
	if ctx.Err() != nil {
		return &notMeasuredError{why: interrupted}
	}
	if err != nil {
		return err
	}
	r.report(Progress{Phase: Connecting, Connected: len(r.members)})
	if r.connected, err = r.server(); err != nil {
		return err
	}
	sleep(ctx, r.o.Settle)
	r.idle, err = r.server()
	return err
}

// dial connects all members. It ends with the first error.
func (r *run) dial(ctx context.Context, connected *atomic.Int64) error {
	dials, ctx := errgroup.WithContext(ctx)
	dials.SetLimit(dialing)
	for _, m := range r.members {
		dials.Go(func() error {
			if err := m.connect(ctx); err != nil {
				return err
			}
			connected.Add(1)
			return nil
		})
	}
	return dials.Wait()
}
