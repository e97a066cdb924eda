package events

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Write is a number of events that are written together. A nil Write is an event that no sink wants.
type Write struct {
	records []Record
	bytes   map[string]int // of the records, by tenant
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

// Limits of the events that wait for the store, in bytes. Further ones are lost.
const (
	maxUnwritten = 16 << 20
	maxVolatile  = 2 << 20 // if all events exceed it, those that are not durable are lost
	tenantPart   = 4       // a tenant may use a fourth of both limits
)

// writer writes the events of one partition. Dispatcher.mu guards its fields except rest.
type writer struct {
	next    *Write // that collects events while another is written; nil: none
	running bool   // a goroutine writes batches

	turn chan struct{} // has an element during a try, while next becomes the batch that is tried, and during an erasure
	rest []Record      // records of the batch that are not written yet; used in a turn
}

// Begin takes an event for the sinks of the tenant that want it. Events of a tenant are written in the order of the calls. It returns
// nil if no sink wants the event.
func (d *Dispatcher) Begin(tenant string, kind Kind, e Event) *Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	var records []Record
	for _, t := range d.targets.Load().of[tenant] {
		if t.wants(kind, e.Room) {
			records = append(records, Record{Sink: t.Sink, Event: e})
		}
	}
	if len(records) == 0 {
		return nil
	}
	most := maxUnwritten
	if !kind.Durable() {
		most = maxVolatile
	}
	size := len(records) * sizeOf(&e)
	switch {
	case d.closed:
		return d.lose(kind, records, ErrClosed)
	case d.bytes+size > most, d.bytesOf[tenant]+size > most/tenantPart:
		return d.lose(kind, records, ErrFull)
	}
	for i := range records {
		r := &records[i]
		r.Lost = d.missing[r.Sink]
		delete(d.missing, r.Sink)
	}
	return d.add(tenant, records, size)
}

// sizeOf returns about the memory of an event, in bytes.
func sizeOf(e *Event) int { return 200 + len(e.Room) + len(e.User) + len(e.Data) }

// add adds records to the next batch of the tenant's partition. The lock is held.
func (d *Dispatcher) add(tenant string, records []Record, size int) *Write {
	partition := d.cfg.Store.Partition(tenant)
	p := d.writers[partition]
	if p == nil {
		p = &writer{turn: make(chan struct{}, 1)}
		d.writers[partition] = p
	}
	if p.next == nil {
		p.next = &Write{bytes: map[string]int{}, done: make(chan struct{}), late: &d.late}
	}
	w := p.next
	w.records = append(w.records, records...)
	w.bytes[tenant] += size
	d.bytes += size
	d.bytesOf[tenant] += size
	if !p.running {
		p.running = true
		d.work.Go(func() { d.write(p) })
	}
	return w
}

// lose counts lost events, and returns their Write. The next event of each sink has their number. The lock is held.
func (d *Dispatcher) lose(kind Kind, records []Record, err error) *Write {
	if !d.losing && !d.closed {
		d.losing = true
		d.cfg.Log.Error("events are lost: too many wait for the store, which does not answer", "tenant", records[0].Sink.Tenant, "kind", kind.String())
	}
	count := &d.lost
	if !kind.Durable() {
		count = &d.lostVolatile
	}
	count.Add(uint64(len(records)))
	for i := range records {
		d.missing[records[i].Sink]++
	}
	lost := &Write{done: make(chan struct{}), err: err}
	close(lost.done)
	return lost
}

// write writes the batches of a partition until none is left.
func (d *Dispatcher) write(p *writer) {
	for {
		p.turn <- struct{}{}
		d.mu.Lock()
		w := p.next
		p.next = nil
		if w == nil {
			p.running = false
			d.mu.Unlock()
			<-p.turn
			return
		}
		p.rest = w.records
		d.mu.Unlock()
		w.err = d.writeAll(p)
		d.mu.Lock()
		for tenant, bytes := range w.bytes {
			d.bytes -= bytes
			if d.bytesOf[tenant] -= bytes; d.bytesOf[tenant] <= 0 {
				delete(d.bytesOf, tenant)
			}
		}
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

// writeAll writes p.rest, and ends the turn. It tries again until the store takes the events or the dispatcher ends. If the outcome of a
// try is unknown, the events may be written twice, with the same IDs.
func (d *Dispatcher) writeAll(p *writer) error {
	for wait := writeRetry; ; {
		n, err := d.writeSome(p)
		left := len(p.rest)
		<-p.turn
		d.written.Add(uint64(n))
		switch {
		case err == nil && left == 0:
			return nil
		case err == nil:
			wait = writeRetry
		case d.ctx.Err() != nil:
			d.lost.Add(uint64(left))
			return err
		default:
			if wait == writeRetry {
				d.cfg.Log.Warn("events are not written yet", "events", left, "error", err)
			}
			select {
			case <-time.After(wait):
			case <-d.ctx.Done():
			}
			wait = min(2*wait, longWriteRetry)
		}
		p.turn <- struct{}{}
	}
}

// writeSome tries once to write the first events of p.rest, and returns the number that was written.
func (d *Dispatcher) writeSome(p *writer) (int, error) {
	some := p.rest[:min(len(p.rest), maxWritten)]
	if len(some) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, writeTime)
	defer cancel()
	if err := d.cfg.Store.Append(ctx, some); err != nil {
		return 0, err
	}
	p.rest = p.rest[len(some):]
	return len(some), nil
}

// Erase removes the events and dead letters of a user from the store, and those that this node has not written yet, and returns their
// number. An event whose delivery runs may still arrive.
func (d *Dispatcher) Erase(ctx context.Context, tenant, user string) (int, error) {
	d.mu.Lock()
	p := d.writers[d.cfg.Store.Partition(tenant)]
	d.mu.Unlock()
	n := 0
	if p != nil {
		select {
		case p.turn <- struct{}{}: // no try runs, which would write an event after the erasure
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		of := func(r Record) bool { return r.Sink.Tenant == tenant && r.User == user }
		kept := slices.DeleteFunc(slices.Clone(p.rest), of) // a copy, because sinksOf reads the records of the batch later
		n, p.rest = len(p.rest)-len(kept), kept
		d.mu.Lock()
		if p.next != nil {
			before := len(p.next.records)
			p.next.records = slices.DeleteFunc(p.next.records, of)
			n += before - len(p.next.records)
		}
		d.mu.Unlock()
		<-p.turn
	}
	more, err := d.cfg.Store.Erase(ctx, tenant, user)
	return n + more, err
}
