package fanout

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/wire"
)

// linger is the time that a connection that ends has to send its waiting frames.
const linger = time.Second

// spillChunk is the number of bytes that a slow reader must accept within the write
// timeout. A reader that accepts less counts as stopped.
const spillChunk = 32 << 10

// perFrame is the memory of a waiting frame besides its bytes. It is counted because many
// tiny frames, such as answers to pings, need more memory than their bytes.
const perFrame = 32

// perSpill is about the memory of a goroutine that writes to a slow reader.
const perSpill = 8 << 10

// A reader of a tenant that uses too much memory is given up if it has been slow for slowTime,
// or if more than slowBytes wait for it. Others, such as every reader over TLS, wait for
// a moment only.
const (
	slowTime  = time.Second
	slowBytes = 64 << 10
)

// Outbox holds the frames that wait for one connection, up to a limit in bytes. The
// writer's goroutine writes to the sink without waiting. When the socket is full, the
// outbox is behind: its own goroutine then waits and writes until the reader has caught up.
type Outbox struct {
	sink    Sink
	socket  Socket       // of sink, for the writer's ring; nil: the ring is not used
	queue   *tenantQueue // of its tenant, at its writer
	account *account
	slow    func() // called once, from any goroutine, when the reader is given up

	mu       sync.Mutex
	limit    int           // bytes
	timeout  time.Duration // for each spillChunk bytes while behind
	waiting  []parcel      // complete frames, which are immutable; while behind they are held in account
	bytes    int           // of waiting, and of the frames that the spill goroutine writes
	queued   bool          // the writer has the outbox in a queue
	behind   bool          // the spill goroutine owns the sink
	since    time.Time     // when it was behind last
	ending   bool          // no more frames are accepted; the sink is closed when all frames are sent
	last     time.Time     // deadline for the last write; zero until ending
	finished bool          // the sink was closed
}

// Release undoes [Writers.Open]. Waiting frames are still sent.
func (o *Outbox) Release() {
	o.account.of.leave(o.queue.tenant, o.account)
	o.queue.release()
}

// Crowded reports whether more waits for slow readers of the tenant than the node has memory for.
func (o *Outbox) Crowded() bool { return o.account.over() }

// Receive adds change, in bytes, to the memory of the tenant's messages of which only a part has arrived; a negative
// change frees memory. It reports whether they stay within the tenant's part of the limit of
// [Writers.SetMemory]. If not, the caller gives up the message. Before Release the caller must free all that it
// has added.
func (o *Outbox) Receive(change int) bool { return o.account.receive(change) }

// SetLimits sets the limit of waiting bytes and the write timeout.
func (o *Outbox) SetLimits(bytes int, timeout time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit, o.timeout = bytes, timeout
}

// bound returns the limit of waiting bytes.
func (o *Outbox) bound() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.limit
}

// Bytes returns the number of waiting bytes.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// crowded reports whether more than a quarter of the limit waits.
func (o *Outbox) crowded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ending && o.bytes+perFrame*len(o.waiting) > o.limit/4
}

// Send adds the frame after all waiting frames. After End it does nothing. All receivers of
// the frame must be of one tenant.
func (o *Outbox) Send(f *wire.Frame) { o.follow(o.enqueue(parcel{o.sink.Bytes(f), f})) }

// SendBytes is like Send for bytes in the form of the sink. The outbox then owns b.
func (o *Outbox) SendBytes(b []byte) {
	o.follow(o.enqueue(parcel{b: b}))
}

// followUp is an action to run after the locks are released.
type followUp uint8

const (
	nothing    followUp = iota
	wakeWriter          // the outbox is in no queue of the writer
	giveUp              // too many bytes wait for the reader, or it must read history again
)

func (o *Outbox) follow(f followUp) {
	switch f {
	case wakeWriter:
		o.queue.flushSoon(o)
	case giveUp:
		o.sink.Close()
		o.slow()
	}
}

// enqueue adds p after all waiting frames. The caller then calls follow.
func (o *Outbox) enqueue(p parcel) followUp {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.admit(p)
	if len(o.waiting) > 0 && !o.queued && !o.behind {
		o.queued = true
		f = wakeWriter
	}
	return f
}

// admit adds a frame, unless the connection is ending. If the limit is exceeded, it gives
// up the reader. The caller holds mu and then calls follow.
func (o *Outbox) admit(p parcel) followUp {
	switch {
	case o.ending || len(p.b) == 0:
		return nothing
	case o.bytes+len(p.b)+perFrame*len(o.waiting) > o.limit:
		o.drop()
		return giveUp
	}
	o.add(p)
	if o.behind && o.tooMuch() {
		o.drop()
		return giveUp
	}
	return nothing
}

// add adds p after all waiting frames. The caller holds mu.
func (o *Outbox) add(p parcel) {
	o.bytes += len(p.b)
	o.waiting = append(o.waiting, p)
	if o.behind {
		o.account.hold(p)
	}
}

// tooMuch reports whether the reader, which is behind, must be given up for the memory of the
// node, and counts it. The caller holds mu.
func (o *Outbox) tooMuch() bool {
	if !o.account.over() || o.bytes <= slowBytes && time.Since(o.since) < slowTime {
		return false
	}
	o.account.of.closed.Add(1)
	return true
}

// refuse gives up the reader. The caller then calls follow.
func (o *Outbox) refuse() followUp {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return nothing
	}
	o.drop()
	return giveUp
}

// drop removes all waiting frames and makes the outbox refuse new ones. first reports
// whether the caller must close the sink. The caller holds mu.
func (o *Outbox) drop() (first bool) {
	first = !o.finished
	o.ending, o.finished = true, true
	if o.behind {
		for _, p := range o.waiting {
			o.account.release(p)
		}
	}
	o.waiting = nil
	o.bytes = 0
	return first
}

// abandon drops all waiting frames and closes the sink. The caller holds mu; abandon
// releases it.
func (o *Outbox) abandon() {
	first := o.drop()
	o.mu.Unlock()
	if first {
		o.sink.Close()
	}
}

// EndSoon is like End, but first sends the messages that the tenant's rooms have posted.
func (o *Outbox) EndSoon(farewell []byte) { o.queue.endSoon(o, farewell) }

// End sends b last, unless b is nil, and closes the sink when everything is sent, at the
// latest after a second. Only the first call has an effect.
func (o *Outbox) End(b []byte) {
	o.mu.Lock()
	if o.ending {
		o.mu.Unlock()
		return
	}
	o.ending = true
	last := time.Now().Add(linger)
	o.last = last
	if len(b) > 0 {
		o.add(parcel{b: b})
	}
	wake := !o.queued && !o.behind
	o.queued = true
	behind := o.behind
	o.mu.Unlock()
	if wake {
		o.queue.flushSoon(o)
	}
	if behind {
		o.sink.SetWriteDeadline(last)
	}
}

// put writes the frame after all waiting frames, at the latest with the other writes of b. Only the writer calls it.
func (o *Outbox) put(f *wire.Frame, b *burst) {
	p := parcel{o.sink.Bytes(f), f}
	o.mu.Lock()
	if o.behind {
		next := o.admit(p)
		o.mu.Unlock()
		o.follow(next)
		return
	}
	if o.ending {
		o.mu.Unlock()
		return
	}
	if len(o.waiting) > 0 {
		p = b.take(o, p.b)
	}
	o.mu.Unlock()
	b.write(o, p)
}

// append adds the frame after all waiting frames. Only the writer calls it; it then calls
// flush.
func (o *Outbox) append(f *wire.Frame) {
	p := parcel{o.sink.Bytes(f), f}
	o.mu.Lock()
	next := o.admit(p)
	o.mu.Unlock()
	o.follow(next)
}

// flush writes all waiting frames, at the latest with the other writes of b. Only the writer calls it.
func (o *Outbox) flush(b *burst) {
	o.mu.Lock()
	o.queued = false
	if o.behind || o.finished {
		o.mu.Unlock()
		return
	}
	if len(o.waiting) == 0 {
		o.settle()
		return
	}
	p := o.waiting[0]
	if len(o.waiting) == 1 {
		o.forget()
	} else {
		p = b.take(o, nil)
	}
	o.mu.Unlock()
	b.write(o, p)
}

// take appends all waiting frames to dst and removes them from the outbox.
func (o *Outbox) take(dst []byte) []byte {
	for _, p := range o.waiting {
		dst = append(dst, p.b...)
	}
	o.forget()
	return dst
}

func (o *Outbox) forget() {
	clear(o.waiting)
	o.waiting = o.waiting[:0]
	if cap(o.waiting) > 16 {
		o.waiting = nil
	}
	o.bytes = 0
}

// settle closes the sink if the connection is ending and no frame waits. The caller holds
// mu; settle releases it.
func (o *Outbox) settle() {
	last := o.ending && !o.finished && len(o.waiting) == 0
	if last {
		o.finished = true
	}
	o.mu.Unlock()
	if last {
		o.sink.Close()
	}
}

// write writes p to the socket and returns the rest that the socket does not accept now. If
// p is not a frame, the rest is a copy.
func (o *Outbox) write(p parcel) (rest parcel) {
	n, err := o.sink.TryWrite(p.b)
	return o.wrote(p, n, err)
}

// wrote completes a write of p: the socket has accepted n bytes, or has failed with err. It returns the rest, as write does.
func (o *Outbox) wrote(p parcel, n int, err error) (rest parcel) {
	o.mu.Lock()
	switch {
	case err != nil:
		o.abandon()
		return parcel{}
	case n == len(p.b):
		o.settle()
		return parcel{}
	}
	p.b = p.b[n:]
	if p.frame == nil {
		p.b = bytes.Clone(p.b)
	}
	o.bytes += len(p.b)
	o.fallBehind(p)
	o.mu.Unlock()
	return p
}

// fallBehind makes the outbox behind, with p for the spill goroutine. The caller holds mu.
func (o *Outbox) fallBehind(p parcel) {
	o.behind, o.since = true, time.Now()
	o.account.add(perSpill)
	o.account.hold(p)
	for _, w := range o.waiting {
		o.account.hold(w)
	}
}

// spillOver passes p, unless it is empty, to a goroutine that waits for the socket. The
// goroutine keeps it, so the caller must not change it.
func (o *Outbox) spillOver(p parcel) {
	if len(p.b) == 0 {
		return
	}
	o.queue.w.spills.Add(1)
	go o.spill(p)
}

// spill waits for the socket and writes until the connection has caught up. Many members of
// a room may be behind, so waiting frames stay shared: each connection copies at most one
// chunk.
func (o *Outbox) spill(p parcel) {
	defer o.queue.w.spills.Done()
	defer o.account.add(-perSpill)
	var buffer []byte
	for {
		err := o.writeAll(p.b)
		o.account.release(p)
		if err != nil {
			o.mu.Lock()
			given := o.ending
			o.abandon()
			if !given && errors.Is(err, os.ErrDeadlineExceeded) {
				o.slow()
			}
			return
		}
		o.sink.SetWriteDeadline(time.Time{}) // TryWrite must have no deadline
		o.mu.Lock()
		o.bytes -= len(p.b)
		switch {
		case len(o.waiting) == 0 || o.finished:
			o.behind = false
			o.queued = false
			o.settle()
			return
		case !o.ending && o.tooMuch():
			o.drop()
			o.mu.Unlock()
			o.follow(giveUp)
			return
		}
		p, buffer = o.chunk(buffer)
		o.mu.Unlock()
	}
}

// chunk removes the next bytes to write: one frame, or as many frames as fit into
// spillChunk bytes. The caller holds mu. chunk reuses buffer.
func (o *Outbox) chunk(buffer []byte) (p parcel, grown []byte) {
	n, size := 1, len(o.waiting[0].b)
	for n < len(o.waiting) && size+len(o.waiting[n].b) <= spillChunk {
		size += len(o.waiting[n].b)
		n++
	}
	p = o.waiting[0]
	if n > 1 {
		buffer = slices.Grow(buffer[:0], size)
		for _, f := range o.waiting[:n] {
			buffer = append(buffer, f.b...)
			o.account.release(f)
		}
		p = parcel{b: buffer}
		o.account.hold(p)
	}
	clear(o.waiting[:n])
	if o.waiting = o.waiting[n:]; len(o.waiting) == 0 {
		o.waiting = nil
	}
	return p, buffer
}

// writeAll writes b in chunks, each within the timeout.
func (o *Outbox) writeAll(b []byte) error {
	for chunk := range slices.Chunk(b, spillChunk) {
		if _, err := o.writeChunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

// writeChunk writes b within the timeout, or within linger if the connection is ending. End
// may run at any moment: either End shortens the new deadline, or writeChunk sees that the
// connection is ending.
func (o *Outbox) writeChunk(b []byte) (int, error) {
	last, timeout := o.deadline()
	for {
		by := time.Now().Add(timeout)
		if !last.IsZero() && last.Before(by) {
			by = last
		}
		if err := o.sink.SetWriteDeadline(by); err != nil {
			return 0, err
		}
		now, _ := o.deadline()
		if now == last {
			return o.sink.Write(b)
		}
		last = now
	}
}

func (o *Outbox) deadline() (last time.Time, timeout time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, o.timeout
}
