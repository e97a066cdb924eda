package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
}

// Dispatcher writes events to a store and delivers them. Create it with New. Its methods may be called concurrently. Without
// events it has no goroutine but that of Run.
type Dispatcher struct {
	cfg     Config
	targets atomic.Pointer[targets]

	written, delivered, failed, rejected, lost, late atomic.Uint64

	ctx    context.Context // of deliveries; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{} // one element for each delivery that runs

	mu      sync.Mutex
	closed  bool
	next    *Write         // that collects events while another is written; nil: none
	writing bool           // a goroutine writes batches
	losing  bool           // the last event was lost because too many wait
	bytes   int            // of the events that are not written
	running map[Sink]*bool // sinks with a running delivery; the value is true if it must look for events again
}

// targets are the sinks of all tenants.
type targets struct {
	all   Kinds            // of all sinks
	kinds map[string]Kinds // of all sinks of a tenant
	of    map[string][]*Target
}

const (
	maxUnwritten  = 16 << 20 // bytes of events that wait for the store; further ones are lost
	maxWritten    = 1000     // events of one Append
	maxDeliveries = 256      // that run at once
	dueTime       = time.Second
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
	d := &Dispatcher{cfg: cfg, slots: make(chan struct{}, maxDeliveries), running: map[Sink]*bool{}}
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
	return Counters{d.written.Load(), d.delivered.Load(), d.failed.Load(), d.rejected.Load(), d.lost.Load(), d.late.Load()}
}

// Store returns the store, for States and dead letters.
func (d *Dispatcher) Store() Store { return d.cfg.Store }

// Run delivers events whose time has come, also those of nodes that have died, until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) {
	tick := time.NewTicker(dueTime)
	defer tick.Stop()
	for warned := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(d.targets.Load().of) == 0 {
			continue
		}
		due, err := d.cfg.Store.Due(ctx, maxDeliveries)
		if err != nil && !warned && ctx.Err() == nil {
			d.cfg.Log.Warn("events that wait were not read", "error", err)
		}
		warned = err != nil
		for _, s := range due {
			d.deliver(s)
		}
	}
}

// Close takes no more events, writes the waiting ones to the store, and returns when no delivery runs. If ctx ends first, it
// cancels the deliveries, whose events remain in the store. Events that the store has not taken by then are lost: Close logs
// their number and returns ErrFull.
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

// deliver starts the delivery of the events of a sink. If it runs, it will look for events again.
func (d *Dispatcher) deliver(s Sink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if again := d.running[s]; again != nil {
		*again = true
		return
	}
	if d.closed {
		return
	}
	again := new(bool)
	d.running[s] = again
	d.work.Go(func() { d.deliverAll(s, again) })
}

// deliverAll delivers the events of a sink until none are due.
func (d *Dispatcher) deliverAll(s Sink, again *bool) {
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	for {
		more, err := d.deliverSome(s)
		if err != nil && d.ctx.Err() == nil {
			d.cfg.Log.Warn("events were not delivered", "tenant", s.Tenant, "sink", s.Name, "error", err)
		}
		d.mu.Lock()
		if d.closed || err != nil || !more && !*again {
			delete(d.running, s)
			d.mu.Unlock()
			return
		}
		*again = false
		d.mu.Unlock()
	}
}

// deliverSome delivers one claim. It reports whether more events are due.
func (d *Dispatcher) deliverSome(s Sink) (more bool, err error) {
	t := d.Target(s)
	limit, time := 1, defaultTime
	if t != nil {
		limit, time = max(1, t.Batch), cmp.Or(t.Time, defaultTime)
	}
	c, err := d.cfg.Store.Claim(d.ctx, s, limit, time+leaseBeyond)
	if c == nil || err != nil {
		return false, err
	}
	result := Result{Error: "the sink is not configured on the node that tried it last"}
	if t != nil {
		result = d.try(t, c)
	} else {
		result.Wait = backoff(c.Failures, 0)
	}
	d.report(c, &result)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), settleTime)
	defer cancel()
	return d.cfg.Store.Settle(ctx, c, result)
}

// try delivers the events of a claim. If the sink rejects a batch, it delivers its events one by one.
func (d *Dispatcher) try(t *Target, c *Claim) (result Result) {
	got := d.send(t, c.Records, c.Dropped)
	if got.Err == nil {
		return Result{Delivered: len(c.Records)}
	}
	if got.Rejected && len(c.Records) > 1 {
		for i := range c.Records {
			dropped := c.Dropped
			if i > 0 {
				dropped = 0
			}
			if got = d.send(t, c.Records[i:i+1], dropped); got.Err != nil {
				break
			}
			result.Delivered++
		}
		if got.Err == nil {
			return result
		}
	}
	result.Error = text(got.Err)
	if result.Delivered > 0 { // the next claim begins with the event that failed, and counts the failures of that event
		return Result{Delivered: result.Delivered}
	}
	if got.Rejected && c.Failures+1 >= maxRejections {
		result.Dead = 1
		return result
	}
	result.Wait = backoff(c.Failures, got.Wait)
	return result
}

func (d *Dispatcher) send(t *Target, records []Record, dropped uint64) Delivery {
	ctx, cancel := context.WithTimeout(d.ctx, cmp.Or(t.Time, defaultTime))
	defer cancel()
	got := d.cfg.Send(ctx, t, records, dropped)
	if got.Err != nil {
		d.failed.Add(1)
		return got
	}
	d.delivered.Add(uint64(len(records)))
	return got
}

// report logs when a sink begins to fail, when it works again, and each dead letter.
func (d *Dispatcher) report(c *Claim, result *Result) {
	log := d.cfg.Log.With("tenant", c.Sink.Tenant, "sink", c.Sink.Name)
	switch {
	case result.Dead > 0:
		d.rejected.Add(uint64(result.Dead))
		log.Warn("the sink rejected an event, which is a dead letter now", "event", c.Records[result.Delivered].ID, "kind", c.Records[result.Delivered].Kind, "error", result.Error)
	case result.Wait > 0 && c.Failures == 0:
		log.Warn("the sink does not accept events, which wait for it", "error", result.Error)
	case result.Delivered > 0 && c.Failures > 0:
		log.Info("the sink accepts events again", "failures", c.Failures)
	}
	if result.Delivered > 0 && c.Dropped > 0 {
		log.Error("events for the sink were dropped: too many waited", "events", c.Dropped)
	}
}

// text returns the text of an error, cut at MaxError.
func text(err error) string {
	s := err.Error()
	return strings.ToValidUTF8(s[:min(len(s), MaxError)], "")
}

// sinksOf returns all sinks of the records, each once.
func sinksOf(records []Record) []Sink {
	all := map[Sink]struct{}{}
	for i := range records {
		all[records[i].Sink] = struct{}{}
	}
	return slices.Collect(maps.Keys(all))
}
