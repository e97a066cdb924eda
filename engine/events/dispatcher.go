package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Target is the configuration of a sink. It must not change after it was passed to a Dispatcher.
type Target struct {
	Sink  Sink
	Kinds Kinds                  // that the sink receives
	Rooms func(room string) bool // reports whether the sink receives events of a room; nil: of all rooms. Events without a room are not filtered
	Batch int                    // the most events of one delivery; 0: 1
	Time  time.Duration          // of one delivery; 0: 10 s
	To    any                    // a value for Config.Send, which the Dispatcher does not use
}

func (t *Target) wants(k Kind, room string) bool {
	return t.Kinds.Has(k) && (room == "" || t.Rooms == nil || t.Rooms(room))
}

// Config configures a Dispatcher.
type Config struct {
	Store Store

	// Send delivers events to a sink. ctx ends after Target.Time. It must not retain records. It is called concurrently for
	// different sinks, and for one sink once at a time.
	Send func(ctx context.Context, to *Target, records []Record, dropped uint64) Delivery

	Log *slog.Logger // nil: slog.Default
}

// Delivery is the result of Config.Send. The zero Delivery is a success.
type Delivery struct {
	Err      error         // nil: the sink has accepted all events
	Rejected bool          // the sink does not accept these events, but may accept others
	Wait     time.Duration // the time that the sink asks to wait; 0: none
}

// Counters are numbers since the start of the node.
type Counters struct {
	Written   uint64 // events for sinks that the store has taken
	Delivered uint64
	Failed    uint64 // deliveries
	Rejected  uint64 // events that became dead letters because the sink did not accept them
	Lost      uint64 // events that the store did not take
	Late      uint64 // events that the store did not have yet when a client was answered

	LostVolatile uint64 // like Lost, of kinds that are not durable
}

// Dispatcher writes events to a store and delivers them. Create it with New. Its methods may be called concurrently. Without
// events it has no goroutine but that of Run.
type Dispatcher struct {
	cfg     Config
	targets atomic.Pointer[targets]

	written, delivered, failed, rejected, lost, late, lostVolatile atomic.Uint64

	usage                     atomic.Pointer[Usage] // the last that was read; nil: none
	warnedDead, warnedDropped bool                  // at the last read, events had become dead letters, or had been dropped; only Run uses them

	ctx    context.Context // of deliveries; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{} // one element for each delivery that runs

	mu      sync.Mutex
	closed  bool
	writers map[int]*writer // by partition
	losing  bool            // the last event was lost because too many wait
	bytes   int             // of the events that are not written
	bytesOf map[string]int  // the same, by tenant
	missing map[Sink]uint64 // numbers of lost events, for Record.Lost of the next event
	running map[Sink]*bool  // sinks with a running delivery; the value is true if it must look for events again
}

// targets are the sinks of all tenants.
type targets struct {
	all   Kinds            // of all sinks
	kinds map[string]Kinds // of all sinks of a tenant
	of    map[string][]*Target
}

const (
	maxWritten    = 1000 // events of one Append
	maxDeliveries = 1024 // that run at once
	dueTime       = time.Second
	usageEvery    = 15 // reads of due sinks for each read of the usage
	defaultTime   = 10 * time.Second
	settleTime    = 5 * time.Second  // to record the result of a delivery; after that its events are delivered again
	leaseBeyond   = 20 * time.Second // that a claim lasts longer than a delivery
	maxRejections = 3                // deliveries of an event that the sink rejects, before it becomes a dead letter
)

// Errors of an event that is lost.
var (
	ErrFull   = errors.New("too many events wait for the store")
	ErrClosed = errors.New("the dispatcher of events is closed")
)

// New returns a Dispatcher without sinks. The caller calls Run and Close.
func New(cfg Config) *Dispatcher {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	d := &Dispatcher{cfg: cfg, slots: make(chan struct{}, maxDeliveries), writers: map[int]*writer{}, bytesOf: map[string]int{}, missing: map[Sink]uint64{}, running: map[Sink]*bool{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.targets.Store(&targets{})
	return d
}

// Configure sets the sinks of all tenants. Events of a sink that is no longer configured wait until it is configured again.
func (d *Dispatcher) Configure(all []*Target) {
	next := &targets{kinds: map[string]Kinds{}, of: map[string][]*Target{}}
	for _, t := range all {
		next.all |= t.Kinds
		next.kinds[t.Sink.Tenant] |= t.Kinds
		next.of[t.Sink.Tenant] = append(next.of[t.Sink.Tenant], t)
	}
	d.targets.Store(next)
}

// Wants returns the kinds of events that sinks of the tenant receive.
func (d *Dispatcher) Wants(tenant string) Kinds {
	if t := d.targets.Load(); t.all != 0 {
		return t.kinds[tenant]
	}
	return 0
}

// Target returns the configuration of a sink, or nil.
func (d *Dispatcher) Target(of Sink) *Target {
	for _, t := range d.targets.Load().of[of.Tenant] {
		if t.Sink == of {
			return t
		}
	}
	return nil
}

// Targets returns the names of the sinks of a tenant, in order.
func (d *Dispatcher) Targets(tenant string) (names []string) {
	for _, t := range d.targets.Load().of[tenant] {
		names = append(names, t.Sink.Name)
	}
	slices.Sort(names)
	return names
}

// Counters returns the numbers since New.
func (d *Dispatcher) Counters() Counters {
	return Counters{d.written.Load(), d.delivered.Load(), d.failed.Load(), d.rejected.Load(), d.lost.Load(), d.late.Load(), d.lostVolatile.Load()}
}

// Usage returns what waited for all sinks a short time ago. It is zero on a node without sinks.
func (d *Dispatcher) Usage() Usage {
	if u := d.usage.Load(); u != nil {
		return *u
	}
	return Usage{}
}

// Store returns the store, for States and dead letters.
func (d *Dispatcher) Store() Store { return d.cfg.Store }

// Close takes no more events, writes the waiting ones to the store, and returns when no delivery runs. If ctx ends first, it
// cancels the deliveries, whose events remain in the store. Events that the store has not taken by then are lost, and the error has
// their number.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() { d.work.Wait(); close(done) }()
	select {
	case <-done:
		d.cancel()
		return nil
	case <-ctx.Done():
	}
	before := d.lost.Load()
	d.cancel()
	<-done
	if lost := d.lost.Load() - before; lost > 0 {
		return fmt.Errorf("%d events are lost: the store did not take them before the end", lost)
	}
	return nil
}
