package events

import (
	"cmp"
	"context"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Run delivers events whose time has come, also those of nodes that have died, until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) {
	tick := time.NewTicker(dueTime)
	defer tick.Stop()
	for n, warned := 0, false; ; n++ {
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
		if n%usageEvery == 0 {
			d.readUsage(ctx)
		}
	}
}

// readUsage reads the usage of the store, and logs when events begin to be lost for sinks.
func (d *Dispatcher) readUsage(ctx context.Context) {
	now, err := d.cfg.Store.Usage(ctx)
	if err != nil {
		return // Due has the same error, and logs it
	}
	last := d.usage.Swap(&now)
	if last == nil {
		return
	}
	aged, crowded, dropped := grown(last.Aged, now.Aged), grown(last.Crowded, now.Crowded), grown(last.Dropped, now.Dropped)
	if aged+crowded > 0 && !d.warnedDead {
		d.cfg.Log.Warn("events have become dead letters: `moot events list` shows the sinks that do not accept them", "aged", aged, "crowded", crowded)
	}
	if dropped > 0 && !d.warnedDropped {
		d.cfg.Log.Error("events were dropped: dead letters were too many or too old, or the store did not take events", "events", dropped)
	}
	d.warnedDead, d.warnedDropped = aged+crowded > 0, dropped > 0
}

// grown returns by how much a count has grown; 0 if it began anew.
func grown(before, now uint64) uint64 { return max(now, before) - before }

// deliver starts the delivery of the events of a sink. A delivery that already runs looks for events again.
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

const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
	maxAsked     = time.Hour // of the time that a sink asks to wait
)

// backoff returns the time until the next delivery, after failures earlier ones and one more. It is about twice as long after
// each. A sink may ask for a longer time.
func backoff(failures int, asked time.Duration) time.Duration {
	wait := time.Duration(math.Min(float64(firstBackoff)*math.Pow(2, float64(failures)), float64(maxBackoff)))
	wait += time.Duration((mathrand.Float64() - 0.5) * 0.4 * float64(wait))
	return max(wait, min(asked, maxAsked))
}
