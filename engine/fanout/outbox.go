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

// linger is how long a connection that ends may take to send what waits for it.
const linger = time.Second

// spillChunk is how many bytes a reader that is behind must take within the
// write timeout, so that a slow but living one is told from one that stopped.
const spillChunk = 32 << 10

// perFrame is what a frame that waits takes beside its bytes. Of the answers to
// pings, which have two, an outbox would else hold many times its limit.
const perFrame = 32

// Outbox holds what waits for one connection. Its writer's goroutine alone
// writes to the sink, without ever waiting; a reader whose socket is full is
// behind, and a goroutine of its own then waits in the writer's place until it
// has caught up. What waits is bounded in bytes.
type Outbox struct {
	sink  Sink
	queue *tenantQueue // of its tenant, at its writer
	slow  func()       // called once, from any goroutine, when the reader is given up

	mu       sync.Mutex
	limit    int           // bytes
	timeout  time.Duration // for spillChunk bytes, once behind
	waiting  [][]byte      // whole frames, shared: not ours to change
	bytes    int           // of waiting, and of what the spill goroutine has in hand
	queued   bool          // the writer knows that something waits
	behind   bool          // the spill goroutine owns the sink
	ending   bool          // nothing more is taken; the sink is closed when all has left
	last     time.Time     // when all must have left; zero until ending
	finished bool          // the sink was closed
}

// Release gives back what [Writers.Open] gave. Frames that still wait are written.
func (o *Outbox) Release() { o.queue.release() }

// SetLimits sets the bytes that may wait and the write timeout.
func (o *Outbox) SetLimits(bytes int, timeout time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit, o.timeout = bytes, timeout
}

// bound is how many bytes may wait.
func (o *Outbox) bound() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.limit
}

// Bytes is how many bytes wait.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// crowded reports whether more than a quarter of what the outbox may hold waits.
func (o *Outbox) crowded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.ending && o.bytes+perFrame*len(o.waiting) > o.limit/4
}

// Send sends the frame behind all that waits. After End it does nothing.
func (o *Outbox) Send(f *wire.Frame) { o.SendBytes(o.sink.Bytes(f)) }

// SendBytes is Send for bytes in the form of the sink. They are the outbox's from now
// on.
func (o *Outbox) SendBytes(b []byte) {
	o.follow(o.enqueue(b))
}

// followUp is what remains to be done once no lock is held.
type followUp uint8

const (
	nothing    followUp = iota
	wakeWriter          // it does not know that something waits
	giveUp              // too much waits for the reader
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

// enqueue puts b behind all that waits. follow follows.
func (o *Outbox) enqueue(b []byte) followUp {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.admit(b)
	if len(o.waiting) > 0 && !o.queued && !o.behind {
		o.queued = true
		f = wakeWriter
	}
	return f
}

// admit takes a frame, unless the connection ends. With too many bytes the reader is
// given up. It is called with mu held; follow follows.
func (o *Outbox) admit(b []byte) followUp {
	switch {
	case o.ending || len(b) == 0:
		return nothing
	case o.bytes+len(b)+perFrame*len(o.waiting) > o.limit:
		o.drop()
		return giveUp
	}
	o.bytes += len(b)
	o.waiting = append(o.waiting, b)
	return nothing
}

// drop takes nothing more, and forgets all that waits. first reports whether the sink
// is to be closed. It is called with mu held.
func (o *Outbox) drop() (first bool) {
	first = !o.finished
	o.ending, o.finished = true, true
	o.waiting = nil
	o.bytes = 0
	return first
}

// abandon gives the connection up, with all that waits. It is called with mu held and
// lets go of it.
func (o *Outbox) abandon() {
	first := o.drop()
	o.mu.Unlock()
	if first {
		o.sink.Close()
	}
}

// EndSoon is End after the messages that the rooms of the tenant have handed over.
func (o *Outbox) EndSoon(farewell []byte) { o.queue.endSoon(o, farewell) }

// End sends b last, if there is any, and has the sink closed when all has left, at the
// latest after a second. The first call counts.
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
		o.waiting = append(o.waiting, b)
		o.bytes += len(b)
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

// put is the writer's: it writes b, which is shared, behind all that waits
// already. scratch is the writer's own and is returned, perhaps grown.
func (o *Outbox) put(b, scratch []byte) []byte {
	o.mu.Lock()
	if o.behind {
		f := o.admit(b)
		o.mu.Unlock()
		o.follow(f)
		return scratch
	}
	if o.ending {
		o.mu.Unlock()
		return scratch
	}
	if len(o.waiting) == 0 {
		o.mu.Unlock()
		o.spillOver(o.write(b))
		return scratch
	}
	scratch = append(o.take(scratch[:0]), b...)
	o.mu.Unlock()
	o.spillOver(bytes.Clone(o.write(scratch)))
	return scratch
}

// add is the writer's: it puts the frame behind all that waits; flush must
// follow.
func (o *Outbox) add(f *wire.Frame) {
	b := o.sink.Bytes(f)
	o.mu.Lock()
	next := o.admit(b)
	o.mu.Unlock()
	o.follow(next)
}

// flush is the writer's: it writes all that waits.
func (o *Outbox) flush(scratch []byte) []byte {
	o.mu.Lock()
	o.queued = false
	if o.behind || o.finished {
		o.mu.Unlock()
		return scratch
	}
	switch len(o.waiting) {
	case 0:
		o.settle()
	case 1:
		b := o.waiting[0]
		o.forget()
		o.mu.Unlock()
		o.spillOver(o.write(b))
	default:
		scratch = o.take(scratch[:0])
		o.mu.Unlock()
		o.spillOver(bytes.Clone(o.write(scratch)))
	}
	return scratch
}

// take moves all that waits behind dst.
func (o *Outbox) take(dst []byte) []byte {
	for _, b := range o.waiting {
		dst = append(dst, b...)
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

// settle closes the sink of a connection that ends and has nothing waiting. It
// is called with mu held and lets go of it.
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

// write gives b to the socket and returns what it does not take at once.
func (o *Outbox) write(b []byte) (rest []byte) {
	n, err := o.sink.TryWrite(b)
	o.mu.Lock()
	switch {
	case err != nil:
		o.abandon()
		return nil
	case n == len(b):
		o.settle()
		return nil
	}
	rest = b[n:]
	o.bytes += len(rest)
	o.behind = true
	o.mu.Unlock()
	return rest
}

// spillOver leaves rest, if there is any, to a goroutine that waits. rest is kept:
// it is shared, or nobody else's.
func (o *Outbox) spillOver(rest []byte) {
	if len(rest) == 0 {
		return
	}
	o.queue.w.spills.Add(1)
	go o.spill(rest)
}

// spill writes, waiting as long as it may, until the connection has caught up.
// Many may be behind in the same room: what waits stays shared, and each has no
// more than a chunk of its own.
func (o *Outbox) spill(b []byte) {
	defer o.queue.w.spills.Done()
	var buffer []byte
	for {
		if err := o.writeAll(b); err != nil {
			o.mu.Lock()
			given := o.ending
			o.abandon()
			if !given && errors.Is(err, os.ErrDeadlineExceeded) {
				o.slow()
			}
			return
		}
		o.sink.SetWriteDeadline(time.Time{}) // the writer's next TryWrite has none
		o.mu.Lock()
		o.bytes -= len(b)
		if len(o.waiting) == 0 || o.finished {
			o.behind = false
			o.queued = false
			o.settle()
			return
		}
		b, buffer = o.chunk(buffer)
		o.mu.Unlock()
	}
}

// chunk takes what is to be written next: a frame as it is, or as many as fit into
// spillChunk bytes. It is called with mu held; buffer is used again.
func (o *Outbox) chunk(buffer []byte) (b, grown []byte) {
	n, size := 1, len(o.waiting[0])
	for n < len(o.waiting) && size+len(o.waiting[n]) <= spillChunk {
		size += len(o.waiting[n])
		n++
	}
	b = o.waiting[0]
	if n > 1 {
		buffer = slices.Grow(buffer[:0], size)
		for _, f := range o.waiting[:n] {
			buffer = append(buffer, f...)
		}
		b = buffer
	}
	clear(o.waiting[:n])
	if o.waiting = o.waiting[n:]; len(o.waiting) == 0 {
		o.waiting = nil
	}
	return b, buffer
}

// writeAll writes b, as long as each chunk of it is taken in time.
func (o *Outbox) writeAll(b []byte) error {
	for chunk := range slices.Chunk(b, spillChunk) {
		if _, err := o.writeChunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

// writeChunk writes b within the timeout, and within linger once the connection
// ends, though the end may come at any moment: either end sees the new deadline
// and sets it, or it is seen here.
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
