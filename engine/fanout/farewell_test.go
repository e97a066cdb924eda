package fanout

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/fanout/fanouttest"
)

func TestFarewellIsSentLast(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.Send(frameText("one"))
		b.End([]byte("bye\r\n"))
		b.Send(frameText("too late"))
		b.End([]byte("bye again\r\n"))
		d.got(b, "one", "bye")
		d.closes(b, 1)
	})
}

func TestEndWithoutFarewellSendsWhatWaits(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.Send(frameText("one"))
		b.End(nil)
		d.got(b, "one")
		d.closes(b, 1)

		idle := d.box()
		idle.End(nil)
		d.closes(idle, 1)
	})
}

func TestFarewellWaitsForAReaderThatIsBehind(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.sink.Room(0)
		b.Send(frameText("one"))
		synctest.Wait()
		b.End([]byte("bye\r\n"))
		time.Sleep(linger - time.Millisecond)
		d.closes(b, 0)
		b.sink.Drain()
		d.got(b, "one", "bye")
		d.closes(b, 1)
	})
}

func TestStuckReaderIsClosedWithinLinger(t *testing.T) {
	for name, begin := range map[string]func(b *box){
		"behind before the end": func(b *box) { b.Send(frameText("one")); synctest.Wait(); b.End([]byte("bye\r\n")) },
		"behind at the end":     func(b *box) { b.End([]byte("bye\r\n")) },
		"both at once":          func(b *box) { b.Send(frameText("one")); b.End([]byte("bye\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(d *desk) {
				b := d.box()
				b.sink.Room(0)
				begin(b)
				time.Sleep(linger)
				d.closes(b, 1)
				if b.slow != 0 {
					d.Error("a closed connection was counted as a slow reader")
				}
			})
		})
	}
}

// TestTricklingReaderIsClosedWithinLinger checks that a reader that takes a few bytes at a
// time does not delay the end of its connection.
func TestTricklingReaderIsClosedWithinLinger(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.limit = 1 << 20
		b.sink.Room(0)
		b.Send(frameText(strings.Repeat("x", 10*spillChunk)))
		synctest.Wait()
		b.End([]byte("bye\r\n"))
		for range 2 {
			time.Sleep(linger / 2)
			b.sink.Room(spillChunk)
		}
		d.closes(b, 1)
	})
}

// endingSink ends the connection while its write deadline is being set.
type endingSink struct {
	*fanouttest.Sink
	end func()
}

func (s *endingSink) SetWriteDeadline(t time.Time) error {
	if end := s.end; end != nil {
		s.end = nil
		end()
	}
	return s.Sink.SetWriteDeadline(t)
}

func TestEndIsSeenWhileADeadlineIsSet(t *testing.T) {
	atDesk(t, func(d *desk) {
		b := d.box()
		b.Outbox.sink = &endingSink{b.sink, func() { b.End(nil) }}
		b.sink.Room(0)
		b.Send(frameText("one"))
		time.Sleep(linger)
		d.closes(b, 1)
	})
}

func TestFarewellFollowsWhatRoomsHadToSend(t *testing.T) {
	atDesk(t, func(d *desk) {
		var halls []*hall
		for range 5 {
			halls = append(halls, d.hall(1))
		}
		for _, h := range halls[1:] { // the first box is a member of all rooms
			h.to = halls[0].to
		}
		b := halls[0].boxes[0]
		release := d.hold()
		for _, h := range halls {
			h.post("before")
		}
		d.q.endSoon(b.Outbox, []byte("bye\r\n"))
		release()
		d.got(b, "before", "before", "before", "before", "before", "bye")
		d.closes(b, 1)
	})
}

func TestWriterThatClosesDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		behind, quick := d.box(), d.box()
		behind.sink.Room(0)
		behind.Send(frameText("late"))
		quick.Send(frameText("early"))
		d.w.close()
		ended := make(chan struct{})
		go func() { d.w.run(); close(ended) }()
		time.Sleep(time.Second)
		select {
		case <-ended:
			d.Fatal("the writer ended before all was sent")
		default:
		}
		behind.sink.Drain()
		<-ended
		d.got(quick, "early")
		d.got(behind, "late")
	})
}

// TestOutboxThatEndsAfterItsWriterIsClosed checks that an outbox closes its sink if the
// writer has ended.
func TestOutboxThatEndsAfterItsWriterIsClosed(t *testing.T) {
	for name, end := range map[string]func(b *box){
		"End":     func(b *box) { b.End([]byte("bye")) },
		"EndSoon": func(b *box) { b.EndSoon([]byte("bye")) },
		"a frame": func(b *box) { b.Send(frameText("late")) },
	} {
		d := newDesk(t)
		b := d.box()
		d.w.close()
		d.w.run()
		end(b)
		select {
		case <-b.sink.Closed():
		default:
			t.Errorf("%s: the sink is open", name)
		}
	}
}
