package fanout

import "syscall"

// Ring sends to several sockets with one system call. One goroutine at a time uses it.
type Ring interface {
	// Send sends ps[i] to the socket with the descriptor fds[i], for each i, and does not wait for any of them. It sets
	// results[i] to the number of bytes that the socket accepts, or to a negative error number. The slices have the same length,
	// at most [RingSize].
	Send(fds []int32, ps [][]byte, results []int32)
	Close() error
}

// RingSize is the largest number of sockets in a call of [Ring.Send].
const RingSize = slice

// Socket is implemented by sinks that a [Ring] can write to.
type Socket interface {
	// Hold returns the descriptor of the socket. It stays valid until Free. If ok is false, the socket is closed or a ring cannot
	// write to it; the caller does not call Free then.
	Hold() (fd int32, ok bool)
	Free()
}

// burst makes the writes of a turn: together if the writer has a ring, else one after the other.
type burst struct {
	ring    Ring   // nil: none
	scratch []byte // the bytes of writes that contain several frames
	writes  []write
	fds     []int32
	ps      [][]byte
	results []int32
}

// write is a write that waits for the others of its burst. Its outbox is not behind, and its socket is held.
type write struct {
	o *Outbox
	p parcel
}

// take removes all frames that wait in o and returns them as one parcel, with more after them. The caller holds o.mu.
func (b *burst) take(o *Outbox, more []byte) parcel {
	start := len(b.scratch)
	b.scratch = append(o.take(b.scratch), more...)
	return parcel{b: b.scratch[start:]}
}

// write writes p to the socket of o, at the latest in the next flush. The caller makes sure that no other write of o waits in b.
func (b *burst) write(o *Outbox, p parcel) {
	if b.ring != nil && o.socket != nil {
		if fd, ok := o.socket.Hold(); ok {
			b.writes, b.fds, b.ps = append(b.writes, write{o, p}), append(b.fds, fd), append(b.ps, p.b)
			if len(b.writes) == RingSize || len(b.scratch) > 4*batchBytes {
				b.flush()
			}
			return
		}
	}
	o.spillOver(o.write(p))
	if len(b.writes) == 0 {
		b.reuse()
	}
}

// flush makes the writes that wait.
func (b *burst) flush() {
	switch len(b.writes) {
	case 0:
		return
	case 1: // one write costs less without the ring
		w := b.writes[0]
		w.o.socket.Free()
		w.o.spillOver(w.o.write(w.p))
	default:
		b.results = b.results[:0]
		for range b.writes {
			b.results = append(b.results, 0)
		}
		b.ring.Send(b.fds, b.ps, b.results)
		for i, w := range b.writes {
			w.o.socket.Free()
			n, err := outcome(b.results[i])
			w.o.spillOver(w.o.wrote(w.p, n, err))
		}
	}
	clear(b.writes)
	clear(b.ps)
	b.writes, b.fds, b.ps = b.writes[:0], b.fds[:0], b.ps[:0]
	b.reuse()
}

// outcome converts a result of [Ring.Send] to the results of [Sink.TryWrite].
func outcome(result int32) (n int, err error) {
	if result >= 0 {
		return int(result), nil
	}
	if err := syscall.Errno(-result); err != syscall.EAGAIN && err != syscall.EINTR {
		return 0, err
	}
	return 0, nil
}

// reuse makes the memory of scratch available again, unless it is large.
func (b *burst) reuse() {
	if b.scratch = b.scratch[:0]; cap(b.scratch) > 4*batchBytes {
		b.scratch = nil
	}
}
