package fanout

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/fanout/fanouttest"
)

// hall is a room whose members are served by one writer.
type hall struct {
	d     *desk
	s     *backlog
	boxes []*box
	to    []*Receiver
	delay time.Duration
}

func (d *desk) hall(members int) *hall {
	h := &hall{d: d, s: &backlog{w: d.w}}
	h.s.space.L = &d.w.mu
	for range members {
		h.join(d.box())
	}
	return h
}

func (h *hall) join(b *box) {
	h.boxes = append(h.boxes, b)
	h.to = append(h.to, &Receiver{Outbox: b.Outbox})
}

func (h *hall) post(text string) {
	f := frameText(text)
	h.s.post(job{to: h.to, Message: Message{Frame: f, Size: f.Len(), Delay: h.delay}})
}

// TestMessagesWaitForOthersWhereTheyMay checks that messages of a room with flushDelay wait
// for further messages. The wait ends when the first message has waited for flushDelay,
// when many messages wait, when a connection ends, and when a message without a delay
// arrives.
func TestMessagesWaitForOthersWhereTheyMay(t *testing.T) {
	numbered := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint("m", i))
		}
		return all
	}
	for name, c := range map[string]struct {
		messages int
		then     func(d *desk, h *hall)
		writes   int
	}{
		"its time":       {3, func(*desk, *hall) { time.Sleep(time.Millisecond) }, 1},
		"many":           {holdCount, func(*desk, *hall) {}, 1},
		"an end":         {3, func(d *desk, h *hall) { d.q.endSoon(h.boxes[0].Outbox, nil) }, 1},
		"one in a hurry": {2, func(_ *desk, h *hall) { h.delay = 0; h.post("m2") }, 1},
		"the next window": {3, func(_ *desk, h *hall) {
			time.Sleep(2 * time.Millisecond)
			h.post("m3")
			time.Sleep(5 * time.Millisecond)
		}, 2},
	} {
		atDesk(t, func(d *desk) {
			h := d.hall(3)
			h.delay = 5 * time.Millisecond
			for i, text := range numbered(c.messages) {
				if h.post(text); i == 0 {
					time.Sleep(4 * time.Millisecond) // flushDelay counts from the first message
				}
			}
			if synctest.Wait(); c.messages < holdCount {
				d.got(h.boxes[1])
			}
			c.then(d, h)
			synctest.Wait()
			want := numbered(max(c.messages, 3))
			if c.writes == 2 {
				want = numbered(4)
			}
			d.got(h.boxes[1], want...)
			if tries, _, _ := h.boxes[1].sink.Counts(); tries != c.writes {
				d.Errorf("%s: %d writes, want %d", name, tries, c.writes)
			}
		})
	}
}

// hold blocks the writer in a write to an extra box until release is called.
func (d *desk) hold() (release func()) {
	b := d.box()
	gate := make(chan struct{})
	b.Outbox.sink = gatedSink{b.sink, gate}
	b.Send(frameText("gate"))
	synctest.Wait()
	return func() { close(gate); synctest.Wait() }
}

// gatedSink blocks the writer. A real sink must not do this.
type gatedSink struct {
	*fanouttest.Sink
	gate chan struct{}
}

func (g gatedSink) TryWrite(p []byte) (int, error) {
	<-g.gate
	return g.Sink.TryWrite(p)
}

func TestMessagesOfARoomThatWaitAreOneWriteForEachMember(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(3)
		release := d.hold()
		h.post("one")
		h.post("two")
		h.post("three")
		release()
		for _, b := range h.boxes {
			d.got(b, "one", "two", "three")
			if tries, _, _ := b.sink.Counts(); tries != 1 {
				d.Errorf("%d writes of messages that waited together, want one", tries)
			}
		}
	})
}

func TestFramesOfAMemberPrecedeLaterMessagesOfItsRoom(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(1)
		release := d.hold()
		h.post("to the room")
		h.boxes[0].Send(frameText("to one"))
		release()
		d.got(h.boxes[0], "to one", "to the room")
		if tries, _, _ := h.boxes[0].sink.Counts(); tries != 1 {
			d.Errorf("%d writes, want one", tries)
		}
	})
}

func TestEveryMemberHasItsOwnAnswer(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(3)
		a, b := frameText("a"), frameText("b")
		h.s.post(job{to: h.to, Message: Message{Answers: frames(a, b), Which: []int32{0, 1, Nothing}, Size: 9}})
		h.s.post(job{to: h.to, Message: Message{Answers: frames(a, b), Which: []int32{1, Nothing, 0}, Size: 9}})
		h.post("c")
		d.got(h.boxes[0], "a", "b", "c")
		d.got(h.boxes[1], "b", "c")
		d.got(h.boxes[2], "a", "c")
	})
}

func TestMembersThatHaveLeftAreSkipped(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(3)
		release := d.hold()
		h.post("one")
		h.to[1].Gate.Close()
		release()
		d.got(h.boxes[0], "one")
		d.got(h.boxes[1])
		d.got(h.boxes[2], "one")
	})
}

func TestSlowMemberDoesNotHoldUpTheOthers(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(3)
		h.boxes[0].sink.Room(3)
		var want []string
		for i := range 3000 {
			want = append(want, fmt.Sprintf("message %04d of thirty bytes..", i))
			h.post(want[i])
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		d.got(h.boxes[1], want...)
		d.got(h.boxes[2], want...)
		d.closes(h.boxes[0], 1)
		if h.boxes[0].slow != 1 {
			d.Errorf("the slow one was given up %d times, want once", h.boxes[0].slow)
		}
	})
}

func TestMemberThatCatchesUpHasMissedNothing(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(2)
		h.boxes[0].sink.Room(1)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint("message ", i))
			h.post(want[i])
			synctest.Wait()
		}
		h.boxes[0].sink.Drain()
		d.got(h.boxes[0], want...)
		d.got(h.boxes[1], want...)
	})
}

// order records the names of the rooms in the order of their writes.
type order struct {
	mu  sync.Mutex
	log []string
}

// watch records the writes to the sinks of h.
func (o *order) watch(h *hall, name string) {
	for _, b := range h.boxes {
		b.sink.OnWrite(func([]byte) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.log = append(o.log, name)
		})
	}
}

func TestLargeRoomDoesNotHoldUpASmallOne(t *testing.T) {
	atDesk(t, func(d *desk) {
		var o order
		large, small := d.hall(20_000), d.hall(2)
		for name, h := range map[string]*hall{"large": large, "small": small} {
			o.watch(h, name)
		}
		release := d.hold()
		large.post("to many")
		small.post("to two")
		release()
		if at := slices.Index(o.log, "small"); at > slice {
			d.Errorf("the small room waited for %d members of the large one, want at most %d", at, slice)
		}
		if len(o.log) != 20_002 {
			d.Errorf("%d writes, want 20,002", len(o.log))
		}
	})
}

func TestFullBacklogHoldsUpItsRoomAlone(t *testing.T) {
	atDesk(t, func(d *desk) {
		busy, calm := d.hall(1), d.hall(1)
		release := d.hold()
		posted := make(chan int, 2*maxBacklog)
		go func() {
			for i := range maxBacklog + 10 {
				busy.post("busy")
				posted <- i
			}
			close(posted)
		}()
		synctest.Wait()
		if n := len(posted); n != maxBacklog {
			d.Errorf("%d messages were taken, want %d and no more", n, maxBacklog)
		}
		calm.post("calm") // must not wait
		release()
		d.got(calm.boxes[0], "calm")
		d.got(busy.boxes[0], slices.Repeat([]string{"busy"}, maxBacklog+10)...)
	})
}

func TestBatchesAreBounded(t *testing.T) {
	atDesk(t, func(d *desk) {
		h := d.hall(1)
		h.boxes[0].limit = 10 * batchBytes
		release := d.hold()
		long := strings.Repeat("x", batchBytes/2)
		for range 4 {
			h.post(long)
		}
		release()
		d.got(h.boxes[0], long, long, long, long)
		if tries, _, _ := h.boxes[0].sink.Counts(); tries != 4 {
			d.Errorf("%d writes, want 4: two do not fit into a batch", tries)
		}
	})
}

// tenant returns a desk of another tenant with the same writer.
func (d *desk) tenant(name string) *desk {
	return &desk{d.T, d.w, d.w.queueOf(name)}
}

// served calls post while the writer is blocked. It returns the order in which the writer
// then writes to the halls: the name of the hall, once for each member.
func (d *desk) served(post func(), halls map[string]*hall) string {
	d.Helper()
	var o order
	for name, h := range halls {
		o.watch(h, name)
	}
	release := d.hold()
	post()
	release()
	return strings.Join(o.log, "")
}

// TestTenantsTakeTurnsAndTheirRoomsWithinThem checks that tenants take turns, and that the
// rooms of a tenant take turns within the tenant's turns. A tenant with many busy rooms
// delays another tenant by one turn of one room.
func TestTenantsTakeTurnsAndTheirRoomsWithinThem(t *testing.T) {
	atDesk(t, func(d *desk) {
		many, few := d.tenant("many"), d.tenant("few")
		halls := map[string]*hall{"x": few.hall(1), "y": few.hall(1)}
		for i := range 20 {
			halls[string(rune('a'+i))] = many.hall(1)
		}
		got := d.served(func() {
			for i := range 20 {
				halls[string(rune('a'+i))].post("flood")
			}
			for range 2 { // one write sends both messages to a member
				halls["x"].post("calm")
				halls["y"].post("calm")
			}
		}, halls)
		if want := "axbycdefghijklmnopqrst"; got != want {
			d.Errorf("served were %s, want %s", got, want)
		}
	})
}

// TestALargeRoomTakesItsTenantsTurns checks that each slice of a large room takes a turn of
// its tenant, and that another room of the tenant has its turn between two slices.
func TestALargeRoomTakesItsTenantsTurns(t *testing.T) {
	atDesk(t, func(d *desk) {
		many, few := d.tenant("many"), d.tenant("few")
		large, beside, calm := many.hall(3*slice), many.hall(1), few.hall(1)
		got := d.served(func() {
			large.post("to many")
			beside.post("to one")
			calm.post("to one")
		}, map[string]*hall{"L": large, "b": beside, "c": calm})
		s := strings.Repeat("L", slice)
		if want := s + "c" + "b" + s + s; got != want {
			d.Errorf("served were %s, want %s", got, want)
		}
	})
}

// TestAnswersOfOneTenantDoNotDelayAnother checks that answers to a tenant's clients are
// sent in the tenant's turns.
func TestAnswersOfOneTenantDoNotDelayAnother(t *testing.T) {
	atDesk(t, func(d *desk) {
		many, few := d.tenant("many"), d.tenant("few")
		flood, calm := many.hall(3*slice), few.hall(1)
		got := d.served(func() {
			for _, b := range flood.boxes {
				flood.d.q.flushSoon(b.Outbox) // like the outbox for an answer
				b.waiting = append(b.waiting, parcel{b: frameText("answer").Line()})
			}
			calm.post("to one")
		}, map[string]*hall{"F": flood, "c": calm})
		s := strings.Repeat("F", slice)
		if want := s + "c" + s + s; got != want {
			d.Errorf("served were %s, want %s", got, want)
		}
	})
}

// TestEndsDoNotWaitForOtherTenants checks that a connection ends after the messages that its
// tenant's rooms have posted. The end does not wait for other tenants and does not end the
// flush delay of their rooms.
func TestEndsDoNotWaitForOtherTenants(t *testing.T) {
	atDesk(t, func(d *desk) {
		one, other := d.tenant("one"), d.tenant("other")
		halls := map[string]*hall{"a": one.hall(1), "b": one.hall(1), "x": other.hall(1), "y": other.hall(1), "z": other.hall(1)}
		halls["z"].delay = time.Minute
		got := d.served(func() {
			for _, name := range []string{"x", "y", "z", "a", "b"} {
				halls[name].post("before")
			}
			halls["b"].to = append(halls["b"].to, halls["a"].to[0])
			one.q.endSoon(halls["a"].boxes[0].Outbox, []byte("bye\r\n"))
		}, halls)
		if want := "xaybya"; got != want && got != "xayba" {
			d.Errorf("served were %s, want %s", got, want)
		}
		d.got(halls["a"].boxes[0], "before", "bye")
		d.got(halls["z"].boxes[0])
	})
}

// TestTenantsWithoutConnectionsHaveNoQueue checks that a writer has a queue for a tenant
// only while it serves a connection of the tenant.
func TestTenantsWithoutConnectionsHaveNoQueue(t *testing.T) {
	w := newWriter(0)
	first, second, other := w.queueOf("a"), w.queueOf("a"), w.queueOf("b")
	if first != second || first == other || len(w.queues) != 2 {
		t.Fatalf("%d queues for two tenants", len(w.queues))
	}
	first.release()
	other.release()
	if len(w.queues) != 1 || w.queueOf("a") != second {
		t.Error("a queue in use was dropped, or an unused one was kept")
	}
	second.release()
	second.release()
	if len(w.queues) != 0 {
		t.Errorf("%d queues are kept for nobody", len(w.queues))
	}
}

// toldSink sends a value to wrote for each write.
type toldSink struct {
	*fanouttest.Sink
	wrote chan struct{}
}

func (s toldSink) TryWrite(p []byte) (int, error) { s.wrote <- struct{}{}; return len(p), nil }

// nullSink discards all bytes.
type nullSink struct{ *fanouttest.Sink }

func (nullSink) TryWrite(p []byte) (int, error) { return len(p), nil }

// BenchmarkMessageBesideAFlood measures a message of a tenant with one room while the
// thousand rooms of another tenant, with 64 members each, always have a message to send.
func BenchmarkMessageBesideAFlood(b *testing.B) {
	w := newWriter(0)
	ended := make(chan struct{})
	go func() { w.run(); close(ended) }()
	d := &desk{w: w, q: w.queueOf("few")}
	few, many := d.hall(1), d.tenant("many")
	told := toldSink{few.boxes[0].sink, make(chan struct{}, 1)}
	few.to[0].Outbox.sink = told
	stop := make(chan struct{})
	var floods sync.WaitGroup
	for range 1000 {
		h := many.hall(slice)
		for _, m := range h.to {
			m.Outbox.sink = nullSink{m.Outbox.sink.(*fanouttest.Sink)}
		}
		floods.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.post("flood") // waits while the backlog is full
				}
			}
		})
	}
	for b.Loop() {
		few.post("calm")
		<-told.wrote
	}
	close(stop)
	floods.Wait()
	w.close()
	<-ended
}
