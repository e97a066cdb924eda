package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// burst delivers count messages of 8 KiB and calls Pace like a cluster. It returns the time
// that this takes.
func (n *node) burst(count int) (took time.Duration) {
	payload := wire.AppendPayload(nil, wire.Payload{Message: wire.Message{Text: strings.Repeat("x", 8<<10)}, Room: "r", From: "0", Context: "user"})
	began := time.Now()
	for k := range count {
		if k%8 == 0 {
			n.Pace(n.w.Context(), in("r"))
		}
		n.Deliver(n.w.Context(), in("r"), cluster.Position{Epoch: "e", Offset: uint64(k + 1)}, payload)
	}
	return time.Since(began)
}

// TestABurstIsPacedByItsReaders checks that a reader that reads steadily receives all
// messages of a burst.
func TestABurstIsPacedByItsReaders(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a")
		c := n.client().do(roomAdd("r"))
		over := make(chan struct{})
		c.Sink.Room(0)
		go func() {
			for {
				select {
				case <-over:
					c.Sink.Drain()
					return
				case <-time.After(10 * time.Millisecond):
					c.Sink.Room(64 << 10)
				}
			}
		}()
		n.burst(1000)
		close(over)
		synctest.Wait()
		if got := len(c.heard()); got != 1000 {
			t.Errorf("%d of 1000 messages were received", got)
		}
	})
}

// TestAStoppedReaderDelaysABurstOnce checks that a reader that stops reading delays the
// other members once and is closed.
func TestAStoppedReaderDelaysABurstOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a")
		slow, other := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		slow.Sink.Room(0)
		if took := n.burst(1000); took > 2*time.Second {
			t.Errorf("the room was held up for %v", took)
		}
		synctest.Wait()
		if got := len(other.heard()); got != 1000 {
			t.Errorf("%d of 1000 messages were received", got)
		}
		select {
		case <-slow.Sink.Closed():
		default:
			t.Error("the reader that stopped is not closed")
		}
	})
}

func TestMembersHearThatMessagesWereLost(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a")
		c, other := n.client().do(roomAdd("r")), n.client().do(roomAdd("q"))
		old, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"}, func(i *engine.Info) { i.ActionHero = true })
		if err != nil {
			t.Fatal(err)
		}
		old.do(roomAdd("r"))
		n.Missed(w.Context(), in("r"))
		n.Missed(w.Context(), in("nobody is here"))
		c.hears(`{"context":"gap","room":"r"}`)
		other.hears()
		old.hears()
	})
}
