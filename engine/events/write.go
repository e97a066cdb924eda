package events

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// Write is a number of events that are written together. A nil Write is an event that no sink wants.
type Write struct {
	records []Record
	bytes   int
	done    chan struct{}  // closed when the store has them, or never will
	err     error          // set before done is closed
	late    *atomic.Uint64 // counts ends of Wait before done
}

// NewID returns the ID of a new event.
func NewID() string { return "evt_" + strings.ToLower(rand.Text()) }

// IDOf returns the ID of an event that several nodes may make. It depends on the arguments alone: of is the id of the connection
// or of the sanction, and at is a time of it, such as that of the join.
func IDOf(kind Kind, tenant, room, of string, at int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d", kind, tenant, room, of, at))
	return "evt_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// NewEvent returns an event with the current time. user is the user that it concerns; "": none. It panics if data cannot be JSON.
func NewEvent(id string, kind Kind, room, user string, data any) Event {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(err) // the types of data.go are JSON
	}
	return Event{ID: id, Kind: kind.String(), Room: room, User: user, At: time.Now().UnixMilli(), Data: encoded}
}

// Wait returns when the store has the event. If ctx ends first, it returns ctx's error, and the event continues to wait for the
// store. Any other error, such as ErrFull, means that the event is lost, and counted in Counters.Lost.
func (w *Write) Wait(ctx context.Context) error {
	if w == nil {
		return nil
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		w.late.Add(1)
		return ctx.Err()
	}
}

// Begin takes an event for the sinks of the tenant that want it. Events are written in the order of the calls. It returns nil if no
// sink wants the event.
func (d *Dispatcher) Begin(tenant string, kind Kind, e Event) *Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	var records []Record
	for _, t := range d.targets.Load().of[tenant] {
		if t.wants(kind, e.Room) {
			records = append(records, Record{Sink: t.Sink, Event: e})
		}
	}
	size := len(records) * (200 + len(e.Room) + len(e.User) + len(e.Data))
	switch {
	case len(records) == 0:
		return nil
	case d.closed:
		return d.lose(len(records), ErrClosed)
	case d.bytes+size > maxUnwritten:
		if !d.losing {
			d.losing = true
			d.cfg.Log.Error("events are lost: too many wait for the store, which does not answer")
		}
		return d.lose(len(records), ErrFull)
	}
	d.bytes += size
	if d.next == nil {
		d.next = &Write{done: make(chan struct{}), late: &d.late}
	}
	w := d.next
	w.records = append(w.records, records...)
	w.bytes += size
	if !d.writing {
		d.writing = true
		d.work.Go(d.write)
	}
	return w
}

// lose counts lost events, and returns their Write.
func (d *Dispatcher) lose(n int, err error) *Write {
	d.lost.Add(uint64(n))
	lost := &Write{done: make(chan struct{}), err: err}
	close(lost.done)
	return lost
}

// write writes batches until none is left.
func (d *Dispatcher) write() {
	for {
		d.mu.Lock()
		w := d.next
		d.next = nil
		if w == nil {
			d.writing = false
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		w.err = d.writeAll(w.records)
		d.mu.Lock()
		d.bytes -= w.bytes
		d.losing = d.losing && w.err != nil
		d.mu.Unlock()
		close(w.done)
		if w.err == nil {
			for _, s := range sinksOf(w.records) {
				d.deliver(s)
			}
		}
	}
}

// The times between two tries to write.
const (
	writeRetry     = 100 * time.Millisecond
	longWriteRetry = 2 * time.Second
	writeTime      = 5 * time.Second // of one try
)

// writeAll writes events. It tries again until the store takes them or the dispatcher ends. If the outcome of a try is unknown,
// the events may be written twice, with the same IDs.
func (d *Dispatcher) writeAll(rest []Record) error {
	for wait := writeRetry; len(rest) > 0; {
		some := rest[:min(len(rest), maxWritten)]
		ctx, cancel := context.WithTimeout(d.ctx, writeTime)
		err := d.cfg.Store.Append(ctx, some)
		cancel()
		if err == nil {
			d.written.Add(uint64(len(some)))
			rest, wait = rest[len(some):], writeRetry
			continue
		}
		if d.ctx.Err() != nil {
			d.lost.Add(uint64(len(rest)))
			return err
		}
		if wait == writeRetry {
			d.cfg.Log.Warn("events are not written yet", "events", len(rest), "error", err)
		}
		select {
		case <-time.After(wait):
		case <-d.ctx.Done():
		}
		wait = min(2*wait, longWriteRetry)
	}
	return nil
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
