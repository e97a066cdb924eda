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

// run is one bench on its way. Its fields but the atomic ones are set before
// the goroutines that read them begin.
type run struct {
	o         Options
	url       *url.URL
	id        string // told apart from other runs by it
	beginning []byte // of the payloads of this run
	began     time.Time
	from      time.Duration // since began: what is sent from here on is measured

	members []*member
	senders []*sender
	shards  []*shard

	budget  atomic.Int64 // messages that may still be sent
	over    atomic.Bool  // connections that end now are ended by us
	failed  chan error   // holds the first
	silence func()       // ends the senders
	running sync.WaitGroup

	// What the server had used: without our connections, with them, and after
	// they were silent for a while.
	before, connected, idle usage
}

// room is one of the rooms.
type room struct {
	name    string
	first   int // of its senders, among those of the run
	senders []*sender
}

func newRun(o Options) (*run, error) {
	u, err := o.address()
	if err != nil {
		return nil, err
	}
	r := &run{o: o, url: u, id: strings.ToLower(rand.Text()[:runDigits]), began: time.Now(), failed: make(chan error, 1), silence: func() {}}
	r.beginning = beginning(r.id)
	r.budget.Store(int64(o.MaxMessages))
	for range 4 * runtime.GOMAXPROCS(0) { // readers seldom meet at one
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

// now is the time on the clock of the run.
func (r *run) now() time.Duration { return time.Since(r.began) }

// server is what the server's process has used; zero if it is not measured.
func (r *run) server() (usage, error) {
	if r.o.PID == 0 {
		return usage{}, nil
	}
	return usageOf(r.o.PID)
}

// fail ends the run with an error, unless one has ended it already.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// allow takes one message off the budget; false if nothing is left of it.
func (r *run) allow() bool { return r.budget.Add(-1) >= 0 }

func (r *run) tell(p Progress) {
	if r.o.Watch != nil {
		p.Connections = len(r.members)
		r.o.Watch(p)
	}
}

// How connections are made.
const (
	dialing     = 64 // at a time
	joinTimeout = 30 * time.Second
)

// connect makes the members, and tells how far it is.
func (r *run) connect(ctx context.Context) (err error) {
	var connected atomic.Int64
	done := make(chan error, 1)
	go func() { done <- r.dial(ctx, &connected) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for dialing := true; dialing; {
		select {
		case <-tick.C:
			r.tell(Progress{Phase: Connecting, Connected: int(connected.Load())})
		case err = <-done:
			dialing = false
		}
	}
	if ctx.Err() != nil {
		return &errNothing{why: interrupted}
	}
	if err != nil {
		return err
	}
	r.tell(Progress{Phase: Connecting, Connected: len(r.members)})
	if r.connected, err = r.server(); err != nil {
		return err
	}
	rest(ctx, r.o.Settle)
	r.idle, err = r.server()
	return err
}

// dial makes the members. The first that fails ends it.
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
