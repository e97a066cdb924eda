package fanout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/fanout/fanouttest"
	"github.com/mootchat/moot/engine/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a writer, and the queue of one tenant.
type desk struct {
	*testing.T
	w *writer
	q *tenantQueue // of all boxes of this desk
}

func newDesk(t *testing.T) *desk {
	w := newWriter(0)
	return &desk{t, w, w.queueOf("default")}
}

// atDesk runs a test with a running writer, which must write everything and end: once without a ring and once with one.
func atDesk(t *testing.T, test func(d *desk)) {
	t.Run("write", func(t *testing.T) { atDeskWith(t, nil, test) })
	t.Run("ring", func(t *testing.T) { atDeskWith(t, &fanouttest.Ring{}, test) })
}

func atDeskWith(t *testing.T, ring *fanouttest.Ring, test func(d *desk)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		if ring != nil {
			d.w.ring = ring
		}
		ended := make(chan struct{})
		go func() { d.w.run(); close(ended) }()
		defer func() { d.w.close(); <-ended }()
		test(d)
	})
}

// box is an outbox. slow is the number of times that its reader was given up.
type box struct {
	*Outbox
	sink *fanouttest.Sink
	slow int
}

func (d *desk) box() *box {
	b := &box{sink: fanouttest.NewSink(wire.Socket)}
	b.Outbox = &Outbox{sink: b.sink, queue: d.q, account: new(memory).accountOf(d.q.tenant), limit: 64 << 10, timeout: 5 * time.Second, slow: func() { b.slow++ }}
	if ring, ok := d.w.ring.(*fanouttest.Ring); ok {
		ring.Add(b.sink)
		b.socket = b.sink
	}
	return b
}

func frameText(s string) *wire.Frame { return wire.FrameOf([]byte(s)) }

func frames(f ...*wire.Frame) []*wire.Frame { return f }

// got checks what the box has sent when all goroutines wait.
func (d *desk) got(b *box, want ...string) {
	d.Helper()
	synctest.Wait()
	sent, rest := b.sink.Sent()
	if !slices.Equal(sent, want) || rest != "" {
		d.Errorf("sent %q and %q of another, want %q", sent, rest, want)
	}
	if n := b.sink.Overlaps(); n > 0 {
		d.Errorf("%d writes ran at once", n)
	}
}

func (d *desk) closes(b *box, want int) {
	d.Helper()
	synctest.Wait()
	if _, _, n := b.sink.Counts(); n != want {
		d.Errorf("the sink was closed %d times, want %d", n, want)
	}
}

func TestFramesAreSentInOrder(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.Send(frameText("one"))
		b.Send(frameText("two"))
		d.got(b, "one", "two")
		b.SendBytes([]byte("raw\r\n"))
		b.SendBytes(nil)
		d.got(b, "one", "two", "raw")
	})
}

// TestFirstBytesAreSentWithTheFirstFrame checks that OutboxConfig.First is sent before all frames, and in one write with the
// first of them.
func TestFirstBytesAreSentWithTheFirstFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{T: t}
		writers := NewWriters(1)
		go writers.Run()
		defer writers.Close()
		for _, frame := range [][]byte{[]byte("frame\r\n"), nil} {
			b := &box{sink: fanouttest.NewSink(wire.Socket), Outbox: new(Outbox)}
			writers.Open(b.Outbox, OutboxConfig{Sink: b.sink, Tenant: "default", Bytes: 100, WriteTimeout: time.Second, First: []byte("first\r\n")})
			d.got(b)
			b.SendBytes(frame)
			want := []string{"first"}
			if frame != nil {
				want = append(want, "frame")
			}
			d.got(b, want...)
			if tries, _, _ := b.sink.Counts(); tries != 1 {
				t.Errorf("%d writes, want one", tries)
			}
			b.End(nil)
			b.Release()
		}
	})
}

func TestWaitingFramesAreOneWrite(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		d.w.mu.Lock() // the writer waits until all frames have been added
		b.mu.Lock()
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint("message ", i))
			b.waiting = append(b.waiting, parcel{b: frameText(want[i]).Line()})
			b.bytes += len(want[i]) + 2
		}
		b.queued = true
		d.q.outboxes.push(b.Outbox)
		d.q.list()
		b.mu.Unlock()
		d.w.mu.Unlock()
		d.w.wake.Signal()
		d.got(b, want...)
		if tries, waits, _ := b.sink.Counts(); tries != 1 || waits != 0 {
			d.Errorf("%d tries and %d waiting writes for what waited together, want one try", tries, waits)
		}
		if b.bytes != 0 {
			d.Errorf("%d bytes are counted with nothing waiting", b.bytes)
		}
	})
}

func TestPartialWritesGoOnWhereTheyStopped(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Room(2)
		b.Send(frameText("first"))
		synctest.Wait()
		b.Send(frameText("second"))
		b.Send(frameText("third"))
		synctest.Wait()
		if sent, rest := b.sink.Sent(); sent != nil || rest != "fi" {
			d.Fatalf("sent %q and %q, want two bytes", sent, rest)
		}
		b.sink.Room(7)
		synctest.Wait()
		b.sink.Drain()
		d.got(b, "first", "second", "third")

		b.Send(frameText("fourth")) // the writer writes to the sink again, without a deadline
		time.Sleep(time.Minute)
		b.Send(frameText("fifth"))
		d.got(b, "first", "second", "third", "fourth", "fifth")
		if b.behind || b.bytes != 0 {
			d.Errorf("behind %t, %d bytes, after it has caught up", b.behind, b.bytes)
		}
	})
}

func TestFullSocketIsNotAnError(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Room(0) // the socket accepts nothing
		b.Send(frameText("late"))
		synctest.Wait()
		time.Sleep(4 * time.Second)
		b.sink.Drain()
		d.got(b, "late")
		d.closes(b, 0)
	})
}

func TestSinkThatCannotTryIsWrittenByItself(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.TLS = true
		for i := range 3 {
			b.Send(frameText(fmt.Sprint(i)))
			synctest.Wait()
		}
		d.got(b, "0", "1", "2")
		if _, waits, _ := b.sink.Counts(); waits != 3 {
			d.Errorf("%d writes, want 3", waits)
		}
	})
}

func TestSlowReaderIsDisconnectedAtTheLimit(t *testing.T) {
	atDesk(t, func(d *desk) {
		slow, quick := d.box(), d.box()
		slow.sink.Room(0)
		slow.limit = 100
		for range 9 {
			slow.Send(frameText("0123456789")) // 12 bytes, with the end of the line
			quick.Send(frameText("go"))
			synctest.Wait()
		}
		d.closes(slow, 1)
		if slow.slow != 1 {
			d.Errorf("given up %d times, want once", slow.slow)
		}
		d.got(quick, slices.Repeat([]string{"go"}, 9)...)
		slow.Send(frameText("more"))
		slow.End([]byte("bye\r\n"))
		d.closes(slow, 1)
		if sent, rest := slow.sink.Sent(); sent != nil || rest != "" {
			d.Errorf("sent %q and %q after it was given up", sent, rest)
		}
		if slow.waiting != nil {
			d.Error("what waited is kept")
		}
	})
}

func TestReaderThatTakesNothingIsDisconnected(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Room(1)
		b.Send(frameText("stuck"))
		time.Sleep(b.timeout - time.Millisecond)
		d.closes(b, 0)
		time.Sleep(time.Millisecond)
		d.closes(b, 1)
		if b.slow != 1 {
			d.Errorf("given up %d times, want once", b.slow)
		}
	})
}

func TestSlowButLivingReaderIsKept(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.limit = 1 << 20
		b.sink.Room(0)
		b.Send(frameText(strings.Repeat("x", 10*spillChunk)))
		for range 11 {
			time.Sleep(b.timeout - time.Second)
			b.sink.Room(spillChunk)
			synctest.Wait()
		}
		d.got(b, strings.Repeat("x", 10*spillChunk))
		d.closes(b, 0)
	})
}

func TestBrokenSocketIsClosedAndNotCalledSlow(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Break(errors.New("connection reset"))
		b.Send(frameText("lost"))
		d.closes(b, 1)
		b.Send(frameText("lost too"))
		d.got(b)
		if b.slow != 0 {
			d.Error("a broken socket was counted as a slow reader")
		}
	})
}

// TestLongFramesForASlowReaderAreShared checks that a reader that is behind gets long
// frames without a copy, and short frames in joined writes.
func TestLongFramesForASlowReaderAreShared(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.limit = 1 << 20
		b.sink.Room(1)
		xs, ys := strings.Repeat("x", 3*spillChunk), strings.Repeat("y", spillChunk/3)
		long, short := frameText(xs), frameText(ys)
		want := []string{"first"}
		b.Send(frameText("first"))
		for range 4 {
			synctest.Wait()
			b.Send(long)
			b.Send(short)
			b.Send(short)
			want = append(want, xs, ys, ys)
		}
		longs, copied := 0, 0
		b.sink.OnWrite(func(p []byte) {
			switch {
			case &p[0] == &long.Line()[0]:
				longs++
			case strings.HasPrefix(string(p), "y") && len(p) > spillChunk:
				t.Errorf("%d bytes were joined, want at most %d", len(p), spillChunk)
			case strings.HasPrefix(string(p), "y"):
				copied++
			}
		})
		b.sink.Drain()
		d.got(b, want...)
		if longs != 4 || copied != 4 {
			d.Errorf("%d long frames were written as they are, %d joined writes of short ones, want 4 of each", longs, copied)
		}
	})
}

// TestTinyFramesCountMoreThanTheirBytes checks that an outbox holds a limited number of
// tiny frames, such as pongs that a client does not read.
func TestTinyFramesCountMoreThanTheirBytes(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Room(0)
		b.Send(frameText("stuck"))
		synctest.Wait()
		n := 0
		for ; b.slow == 0; n++ {
			b.SendBytes([]byte{0x8a, 0})
		}
		if most := b.limit / perFrame; n > most {
			d.Errorf("%d frames of two bytes waited, want at most %d", n, most)
		}
	})
}
