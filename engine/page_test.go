package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// TestPagesAllocateNothingPerMember checks that the allocations of a page do not grow with
// the members of the room.
func TestPagesAllocateNothingPerMember(t *testing.T) {
	var allocs [2]float64
	for i, members := range []int{10, 1000} {
		h := newHall(t)
		h.enter(t, members)
		allocs[i] = testing.AllocsPerRun(20, func() {
			h.members[0].Do(context.Background(), wire.Request{Verb: "roomView", Room: "r", RoomGiven: true})
		})
		h.stop()
	}
	if allocs[1] > allocs[0]+10 {
		t.Errorf("%.0f allocations for 10 members, %.0f for 1000", allocs[0], allocs[1])
	}
}

func BenchmarkRoomViewOf1000Members(b *testing.B) {
	h := newHall(b)
	h.enter(b, 1000)
	defer h.stop()
	b.ReportAllocs()
	for b.Loop() {
		h.members[0].Do(context.Background(), wire.Request{Verb: "roomView", Room: "r", RoomGiven: true})
	}
}

func BenchmarkRoomHistoryOf1000Messages(b *testing.B) {
	h := newHall(b, keeps(1000))
	h.enterKept(b)
	defer h.stop()
	for range 1000 {
		if _, err := h.Broadcast(context.Background(), in("r"), "", json.RawMessage(`"`+strings.Repeat("x", 120)+`"`)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		h.members[0].Do(context.Background(), wire.Request{Verb: "roomHistory", Room: "r", RoomGiven: true, Limit: 1000})
	}
}

// enterKept joins a connection to the room, which has history.
func (h *hall) enterKept(tb testing.TB) {
	seat, err := h.Reserve(engine.ReservationRequest{Tenant: "default"})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := seat.Open(context.Background(), engine.Info{}, discard{h.floor})
	if err != nil {
		tb.Fatal(err)
	}
	c.Do(context.Background(), wire.Request{Verb: "roomAdd", Room: "r", RoomGiven: true})
	h.members = append(h.members, c)
}

// weighed is a history that counts the bytes of messages that were read.
type weighed struct {
	cluster.History
	bytes int
}

func (h *weighed) Read(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (cluster.Page, error) {
	page, err := h.History.Read(ctx, room, after, limit, keep)
	for _, m := range page.Messages {
		h.bytes += len(m.Payload)
	}
	return page, err
}

// TestReadingHistoryCostsTheAnswer checks that a client that asks for many large messages
// makes the node read about as many bytes as the answer has, not the whole history.
func TestReadingHistoryCostsTheAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		const outbox, messages, size = 1 << 20, 500, 16 << 10
		h := &weighed{}
		n := w.node("one", keeps(messages), func(c *engine.Config) {
			c.Limits.OutboxBytes = outbox
			h.History, c.Cluster.History = c.Cluster.History, h
		})
		a := n.client()
		at, _ := a.joins("r", nil)
		for i := range messages {
			w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", size))))), nil)
			synctest.Wait()
		}
		a.heard()
		h.bytes = 0
		if v := a.history(`{"event":"roomHistory","room":"r","limit":1000,"messageId":1}`); len(v.Messages) != 15 || v.Before != messages-14 {
			w.Errorf("%d messages, before %d", len(v.Messages), v.Before)
		}
		if most := outbox/4 + 16*(size+1000); h.bytes > most {
			w.Errorf("a page read %d bytes, want at most %d", h.bytes, most)
		}
		h.bytes = 0
		b := n.client()
		back, heard := b.joins("r", &at)
		w.recovered(back, false)
		if len(heard) != 31 || !strings.HasPrefix(heard[30], fmt.Sprint(messages, " ")) {
			w.Errorf("%d missed messages", len(heard))
		}
		if most := outbox/2 + 48*(size+1000); h.bytes > most {
			w.Errorf("a join with since read %d bytes, want at most %d", h.bytes, most)
		}
	})
}

// TestPagesCostTheirBytes checks that large pages use up the rate limit of a connection,
// and small ones do not.
func TestPagesCostTheirBytes(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) { c.Limits.VerbsPerSecond = 50 })
		a := n.client().do(event("roomAdd", `"room":"r"`))
		for range 999 {
			w.must(n.AddMember(w.Context(), in("r"), n.client().ID()), nil)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		a.heard()
		count := func(limit int) (answers, bytes int) {
			time.Sleep(10 * time.Second) // the bucket is full
			for ; ; answers++ {
				a.Run(event("roomView", `"room":"r"`, fmt.Sprintf(`"limit":%d`, limit)))
				got := strings.Join(a.heard(), "")
				if strings.Contains(got, "rate limit exceeded") {
					return answers, bytes
				}
				bytes += len(got)
			}
		}
		if answers, _ := count(10); answers != 100 {
			w.Errorf("%d small pages, want the burst of 100 verbs", answers)
		}
		if answers, bytes := count(1000); answers > 30 || bytes > 100*16<<10 {
			w.Errorf("%d large pages of %d bytes in all", answers, bytes)
		}
	})
}

// TestPagesOfATenantTakeTurns checks that a bounded number of pages is encoded at once, and
// that a page that waits for its turn ends with its context.
func TestPagesOfATenantTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, release := engine.NewPageTurns(), make(chan struct{})
		var running, done atomic.Int64
		for range 3 * cap(turns) {
			go func() {
				err := turns.Take(context.Background(), func() { running.Add(1); <-release; running.Add(-1) })
				if err == nil {
					done.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := running.Load(); int(n) != cap(turns) {
			t.Errorf("%d pages are encoded at once, want %d", n, cap(turns))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := turns.Take(ctx, func() { t.Error("it had a turn") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		if n := done.Load(); int(n) != 3*cap(turns) {
			t.Errorf("%d pages were encoded", n)
		}
	})
}

// TestPagesWaitForTheirReader checks that a client that reads nothing has few pages waiting for it, and that it receives
// the others once it reads.
func TestPagesWaitForTheirReader(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		a := n.client().do(event("roomAdd", `"room":"r"`))
		for range 999 {
			w.must(n.AddMember(w.Context(), in("r"), n.client().ID()), nil)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		a.heard()
		a.Sink.Room(0)
		const pages = 8
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			for range pages {
				<-a.Begin(event("roomView", `"room":"r"`))
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		info, err := n.Connection(w.Context(), "default", a.ID())
		if w.must(err, nil); info.OutboxBytes < 64<<10 || info.OutboxBytes > 200<<10 {
			w.Errorf("%d bytes wait for a client that reads nothing", info.OutboxBytes)
		}
		a.Sink.Drain()
		<-finished
		synctest.Wait()
		if answers := len(a.heard()); answers != pages {
			w.Errorf("%d answers, want %d", answers, pages)
		}
	})
}

// crammed is a backend whose listings of members wait, and which counts them.
type crammed struct {
	cluster.Presence
	running atomic.Int64
	release chan struct{}
}

func (p *crammed) Members(ctx context.Context, room cluster.RoomID, cursor string, limit int) ([]cluster.MemberRecord, string, error) {
	p.running.Add(1)
	defer p.running.Add(-1)
	<-p.release
	return p.Presence.Members(ctx, room, cursor, limit)
}

// TestReadsOfATenantTakeTurns checks that a bounded number of pages of a tenant is read from the backend at once, and
// that other verbs do not wait for them.
func TestReadsOfATenantTakeTurns(t *testing.T) {
	inWorld(t, func(w *world) {
		p := &crammed{release: make(chan struct{})}
		n := w.node("one", func(c *engine.Config) { p.Presence, c.Cluster.Presence = c.Cluster.Presence, p })
		var asked []<-chan struct{}
		for range 3 * engine.MaxReads {
			a := n.client().do(event("roomAdd", `"room":"r"`))
			asked = append(asked, a.Begin(event("roomView", `"room":"r"`)))
		}
		b := n.client().do(event("roomAdd", `"room":"r"`))
		if running := p.running.Load(); running != engine.MaxReads {
			w.Errorf("%d reads at once, want %d", running, engine.MaxReads)
		}
		b.says(say("r", "hi"), ok, chat("r", b.ID(), "hi"))
		close(p.release)
		for _, done := range asked {
			<-done
		}
	})
}
