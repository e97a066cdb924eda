package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// keeps makes all rooms keep that number of messages for an hour.
func keeps(messages int) func(*engine.Config) {
	return func(c *engine.Config) {
		c.Tenants[0].Rooms = []engine.RoomSettings{{Retention: cluster.Retention{Messages: messages, For: time.Hour}}}
	}
}

// remembered is the answer to roomAdd, with the position of the room.
type remembered struct {
	Status    string
	Error     string
	Epoch     string
	Offset    uint64
	Recovered *bool
	Data      json.RawMessage
}

// joins makes the client join a room with history. It returns the answer and the messages
// that follow it, as "offset text".
func (c *client) joins(room string, since *remembered) (remembered, []string) {
	c.n.w.Helper()
	request := roomAdd(room)
	if since != nil {
		request = fmt.Sprintf(`{"event":"roomAdd","room":%q,"since":{"epoch":%q,"offset":%d},"messageId":1}`, room, since.Epoch, since.Offset)
	}
	<-c.Begin(request)
	heard := c.heard()
	var answer remembered
	if len(heard) == 0 || json.Unmarshal([]byte(heard[0]), &answer) != nil || answer.Status != "OK" {
		c.n.w.Fatalf("roomAdd: %s", heard)
	}
	return answer, placesOf(c.n.w, heard[1:])
}

// placesOf returns chat messages as "offset text".
func placesOf(w *world, heard []string) (all []string) {
	w.Helper()
	for _, h := range heard {
		var m struct {
			Message, Epoch string
			Offset         uint64
		}
		if err := json.Unmarshal([]byte(h), &m); err != nil || m.Epoch == "" {
			w.Fatalf("received %s", h)
		}
		all = append(all, fmt.Sprint(m.Offset, " ", m.Message))
	}
	return all
}

func (w *world) equal(what string, got, want []string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s:\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (w *world) recovered(a remembered, want bool) {
	w.Helper()
	if a.Recovered == nil || *a.Recovered != want {
		w.Errorf("recovered is %v, want %v", a.Recovered, want)
	}
}

func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i, " ", i))
	}
	return all
}

// tells broadcasts the numbers as messages of the system.
func (n *node) tells(from, to int) {
	n.w.Helper()
	for i := from; i <= to; i++ {
		n.w.must(errorOf(n.Broadcast(n.w.Context(), in("r"), "", json.RawMessage(fmt.Sprintf(`"%d"`, i)))), nil)
	}
	synctest.Wait()
}

func TestMissedMessagesComeBeforeLiveOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", keeps(100)), w.node("two", keeps(100))
		a := one.client()
		at, heard := a.joins("r", nil)
		if at.Offset != 0 || at.Epoch == "" || at.Recovered != nil || len(heard) > 0 {
			w.Errorf("a room in which nothing was said answers %+v, %q", at, heard)
		}
		a.says(say("r", "1"), ok, fmt.Sprintf(`{"message":"1","room":"r","from":%q,"context":"user","sentAt":%s,"offset":1,"epoch":%q}`, a.ID(), now, at.Epoch))
		a.HangUp()
		two.tells(2, 5)

		at.Offset = 1
		b := two.client()
		back, heard := b.joins("r", &at)
		w.recovered(back, true)
		w.equal("missed", heard, numbers(2, 5))
		if back.Offset != 5 || back.Epoch != at.Epoch {
			w.Errorf("the room is at %+v", back)
		}
		one.tells(6, 7)
		w.equal("live", placesOf(w, b.heard()), numbers(6, 7))
		c := one.socket()
		again, heard := c.joins("r", nil)
		if again.Offset != 7 || len(heard) > 0 {
			w.Errorf("a join without since receives %q, at %+v", heard, again)
		}
	})
}

func TestMessagesOfRoomsWithoutHistoryHaveNoPositions(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) {
			c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(r string) bool { return r == "q" }, Retention: cluster.Retention{Messages: 1, For: time.Hour}}}
		})
		a := n.client()
		a.says(roomAdd("r"), isTrue)
		a.says(say("r", "hi"), ok, chat("r", a.ID(), "hi"))
		a.says(`{"event":"roomHistory","room":"r","messageId":1}`, failed("room keeps no history (r)"))
		a.says(`{"event":"roomHistory","room":"q","messageId":1}`, failed("connection not in this room (q)"))
		a.says(`{"event":"roomHistory","messageId":1}`, failed("connection not in this room (undefined)"))
	})
}

func TestRecoveredOnlyIfNothingIsMissing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(5))
		at, _ := n.client().joins("r", nil)
		n.tells(1, 20)
		for name, c := range map[string]struct {
			since     remembered
			recovered bool
			want      []string
		}{
			"nothing missed":       {remembered{Epoch: at.Epoch, Offset: 20}, true, nil},
			"all that is kept":     {remembered{Epoch: at.Epoch, Offset: 15}, true, numbers(16, 20)},
			"one is not kept":      {remembered{Epoch: at.Epoch, Offset: 14}, false, numbers(16, 20)},
			"most are not kept":    {remembered{Epoch: at.Epoch}, false, numbers(16, 20)},
			"beyond the last":      {remembered{Epoch: at.Epoch, Offset: 21}, false, nil},
			"another epoch":        {remembered{Epoch: "another", Offset: 18}, false, nil},
			"no epoch":             {remembered{Offset: 18}, false, nil},
			"an offset of 64 bits": {remembered{Epoch: at.Epoch, Offset: 1<<64 - 1}, false, nil},
		} {
			b := n.client()
			back, heard := b.joins("r", &c.since)
			w.recovered(back, c.recovered)
			w.equal(name, heard, c.want)
			b.HangUp()
		}
		time.Sleep(2 * time.Hour)
		b := n.client()
		back, heard := b.joins("r", &remembered{Epoch: at.Epoch, Offset: 18})
		w.recovered(back, false)
		w.equal("after their time", heard, nil)
	})
}

// TestPastMessagesPassTheSayChain checks that the say chain can hide and rewrite messages
// of history.
func TestPastMessagesPassTheSayChain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(100))
		at, _ := n.client().joins("r", nil)
		n.tells(1, 5)
		var asked []string
		n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
			asked = append(asked, fmt.Sprint(ev.Message.Text, " ", len(members)))
			rewritten := []wire.Payload{{Message: wire.Message{Text: "for you: " + ev.Message.Text}, Room: ev.Room, From: ev.From, Context: ev.Context}}
			switch ev.Message.Text {
			case "1":
				return hook.Delivery{All: hook.Nothing}
			case "2":
				return hook.Delivery{For: []int32{hook.Nothing}}
			case "3":
				return hook.Delivery{Answers: rewritten, For: []int32{0}, Release: func() { asked = append(asked, "released") }}
			case "4":
				return hook.Delivery{Answers: rewritten}
			}
			return hook.Delivery{}
		}
		b := n.client()
		back, heard := b.joins("r", &at)
		w.recovered(back, true)
		want := []string{"3 for you: 3", "4 for you: 4", "5 5"}
		w.equal("missed", heard, want)
		w.equal("asked", asked, []string{"1 1", "2 1", "3 1", "released", "4 1", "5 1"})
		view := b.history(`{"event":"roomHistory","room":"r","messageId":1}`)
		w.equal("history", view.places(w), want)
	})
}

type historyView struct {
	Room, Epoch string
	Messages    []json.RawMessage
	Before      uint64
}

func (v *historyView) places(w *world) []string {
	var texts []string
	for _, m := range v.Messages {
		texts = append(texts, string(m))
	}
	return placesOf(w, texts)
}

func (c *client) history(request string) (v historyView) {
	c.n.w.Helper()
	<-c.Begin(request)
	heard := c.heard()
	var answer remembered
	if len(heard) != 1 || json.Unmarshal([]byte(heard[0]), &answer) != nil || json.Unmarshal(answer.Data, &v) != nil {
		c.n.w.Fatalf("roomHistory: %s", heard)
	}
	return v
}

func TestHistoryIsReadBackwards(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(120))
		a := n.client()
		at, _ := a.joins("r", nil)
		n.tells(1, 200) // messages 81 to 200 are stored
		a.heard()
		page := func(before uint64, limit int) historyView {
			return a.history(fmt.Sprintf(`{"event":"roomHistory","room":"r","before":%d,"limit":%d,"messageId":1}`, before, limit))
		}
		for _, c := range []struct {
			before   uint64
			limit    int
			from, to int
			next     uint64
		}{
			{0, 0, 151, 200, 151}, {151, 50, 101, 150, 101}, {101, 50, 81, 100, 0}, {81, 50, 1, 0, 0}, {82, 50, 81, 81, 0},
			{1, 5, 1, 0, 0}, {0, 5000, 81, 200, 0}, {201, 2, 199, 200, 199}, {1 << 62, 2, 199, 200, 199}, {200, 1, 199, 199, 199},
		} {
			v := page(c.before, c.limit)
			w.equal(fmt.Sprint(c), v.places(w), numbers(c.from, c.to))
			if v.Before != c.next || v.Epoch != at.Epoch || v.Room != "r" {
				w.Errorf("%v: before %d, epoch %q, room %q", c, v.Before, v.Epoch, v.Room)
			}
		}
	})
}

// TestPastMessagesFitIntoTheOutbox checks that a member receives the last missed messages
// that fit into its outbox, that the answer reports missing messages, and that roomHistory
// returns the others in pages.
func TestPastMessagesFitIntoTheOutbox(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(1000), func(c *engine.Config) { c.Limits.OutboxBytes = 16 << 10 })
		at, _ := n.client().joins("r", nil)
		n.tells(1, 300)
		b := n.client()
		b.Sink.Room(0) // accepts no bytes for now
		<-b.Begin(fmt.Sprintf(`{"event":"roomAdd","room":"r","since":{"epoch":%q,"offset":0},"messageId":1}`, at.Epoch))
		b.Sink.Drain()
		heard := b.heard()
		var answer remembered
		w.must(json.Unmarshal([]byte(heard[0]), &answer), nil)
		w.recovered(answer, false)
		got := placesOf(w, heard[1:])
		if len(got) < 20 || len(got) > 200 {
			w.Errorf("%d messages came at once", len(got))
		}
		w.equal("the last ones", got, numbers(301-len(got), 300))
		for before, first := uint64(0), 300; first > 1; {
			v := b.history(fmt.Sprintf(`{"event":"roomHistory","room":"r","limit":1000,"before":%d,"messageId":1}`, before))
			w.equal("a page", v.places(w), numbers(first-len(v.Messages)+1, first))
			first -= len(v.Messages)
			if before = v.Before; before == 0 && first > 0 || len(v.Messages) == 0 {
				w.Fatalf("history ended before %d", first)
			}
			if before == 0 {
				break
			}
		}
	})
}

// halting is a history that calls wait before and after each read.
type halting struct {
	cluster.History
	fail error
	wait func()
}

func (h *halting) Read(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (cluster.Page, error) {
	h.wait()
	defer h.wait()
	if h.fail != nil {
		return cluster.Page{}, h.fail
	}
	return h.History.Read(ctx, room, after, limit, keep)
}

// TestAJoinSucceedsIfHistoryCannotBeRead checks that a client joins a room even if its
// history cannot be read, and that the answer reports recovered as false.
func TestAJoinSucceedsIfHistoryCannotBeRead(t *testing.T) {
	inWorld(t, func(w *world) {
		h := &halting{wait: func() {}, fail: cluster.ErrUnavailable}
		n := w.node("one", keeps(100), func(c *engine.Config) { h.History, c.Cluster.History = c.Cluster.History, h })
		a := n.client()
		answer, heard := a.joins("r", &remembered{Epoch: "e"})
		w.recovered(answer, false)
		if answer.Epoch != "" || len(heard) > 0 {
			w.Errorf("received %+v %q", answer, heard)
		}
		a.says(`{"event":"roomHistory","room":"r","messageId":1}`, failed("cluster unavailable"))
		n.tells(1, 2)
		w.equal("live", placesOf(w, a.heard()), numbers(1, 2))
		h.fail = nil
		b := n.client()
		if answer, _ := b.joins("r", nil); answer.Offset != 2 {
			w.Errorf("the room is at %+v", answer)
		}
	})
}

// TestAGateThatOverflowsReadsHistoryAgain checks that a member whose gate overflows while it catches up
// reads history again, and is closed as a slow reader after several rounds.
func TestAGateThatOverflowsReadsHistoryAgain(t *testing.T) {
	for reads, name := range map[int]string{3: "it catches up", 100: "it is too slow"} {
		inWorld(t, func(w *world) {
			said, calls := 0, 0
			var n *node
			h := &halting{}
			n = w.node("one", keeps(1000), func(c *engine.Config) {
				h.History, c.Cluster.History = c.Cluster.History, h
				c.Limits.OutboxBytes = 32 << 10
			})
			h.wait = func() {
				if calls++; calls%2 == 0 || said >= 60*reads { // wait has sent all messages, or this call follows a read
					return
				}
				for range 60 {
					said++
					w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", fmt.Appendf(nil, `"%d"`, said))), nil)
				}
				synctest.Wait()
			}
			a := n.client()
			<-a.Begin(`{"event":"roomAdd","room":"r","since":{"epoch":"e","offset":0},"messageId":1}`)
			heard := a.heard()
			if reads == 100 {
				if last := heard[len(heard)-1]; last != "bye slow reader (3008)" {
					w.Errorf("%s: received %s", name, last)
				}
				return
			}
			n.tells(181, 185)
			last, err := follows(append(heard, a.heard()...), cluster.Position{}, false)
			w.must(err, nil)
			if last.Offset != 185 {
				w.Errorf("%s: received up to %d", name, last.Offset)
			}
		})
	}
}

// TestNoGapAndNoDuplicate checks that clients that leave and return receive each message
// after their position once and in order, while several senders publish on two nodes and
// history is slow.
func TestNoGapAndNoDuplicate(t *testing.T) {
	for round := range 10 {
		inWorld(t, func(w *world) { w.comeAndGo(rand.New(rand.NewPCG(1, uint64(round)))) })
	}
}

func (w *world) comeAndGo(random *rand.Rand) {
	var lock sync.Mutex
	within := func(most time.Duration) time.Duration {
		lock.Lock()
		defer lock.Unlock()
		return time.Duration(random.Int64N(int64(most)))
	}
	slow := func(c *engine.Config) {
		c.Cluster.History = &halting{History: c.Cluster.History, wait: func() { time.Sleep(within(3 * time.Millisecond)) }}
	}
	nodes := []*node{w.node("one", keeps(100_000), slow), w.node("two", keeps(100_000), slow)}
	speakers := make(chan struct{})
	var speaking sync.WaitGroup
	for s := range 4 {
		speaking.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-speakers:
					return
				default:
				}
				w.must(errorOf(nodes[s%2].Broadcast(w.Context(), in("r"), "", fmt.Appendf(nil, `"%d %d"`, s, k))), nil)
				time.Sleep(within(500 * time.Microsecond))
			}
		})
	}
	var listening sync.WaitGroup
	for l := range 4 {
		listening.Go(func() { w.listen(nodes[l%2], nodes[(l+1)%2], within) })
	}
	listening.Wait()
	close(speakers)
	speaking.Wait()
}

// listen makes a client join, stay for a while, leave, and return on the other node,
// several times.
func (w *world) listen(here, there *node, within func(time.Duration) time.Duration) {
	var last cluster.Position
	for visit := range 8 {
		c, err := here.connect(wire.WebSocket)
		if err != nil {
			w.Error(err)
			return
		}
		request := roomAdd("r")
		if visit > 0 {
			request = fmt.Sprintf(`{"event":"roomAdd","room":"r","since":{"epoch":%q,"offset":%d},"messageId":1}`, last.Epoch, last.Offset)
		}
		<-c.Begin(request)
		time.Sleep(within(20 * time.Millisecond))
		c.HangUp()
		sent, _ := c.Sink.Sent()
		if last, err = follows(sent[1:], last, visit > 0); err != nil {
			w.Errorf("visit %d: %v", visit, err)
			return
		}
		time.Sleep(within(20 * time.Millisecond))
		here, there = there, here
	}
}

// follows checks an answer to roomAdd and the messages after it. It returns the position of
// the last message.
func follows(heard []string, last cluster.Position, recovered bool) (cluster.Position, error) {
	if len(heard) == 0 {
		return last, errors.New("no answer")
	}
	for i, h := range heard {
		var m struct {
			remembered
			Message string
		}
		switch err := json.Unmarshal([]byte(h), &m); {
		case err != nil || strings.HasPrefix(h, "bye"):
			return last, fmt.Errorf("received %s", h)
		case i == 0 && recovered && (m.Recovered == nil || !*m.Recovered):
			return last, fmt.Errorf("not recovered since %+v: %s", last, h)
		case i == 0 && !recovered:
			last = cluster.Position{Epoch: m.Epoch, Offset: m.Offset}
		case i > 0 && (m.Epoch != last.Epoch || m.Offset != last.Offset+1):
			return last, fmt.Errorf("after %d of %d came %s", last.Offset, len(heard), h)
		case i > 0:
			last.Offset++
		}
	}
	return last, nil
}

// TestHistoryHasABoundOfBytes checks that a room drops its oldest messages when its history exceeds
// the bytes of its tenant, and that a client that asks for them learns that they are missing.
func TestHistoryHasABoundOfBytes(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", keeps(1000), func(c *engine.Config) {
			c.Tenants[0].Limits = engine.Limits{HistoryBytes: 64 << 10, OutboxBytes: 1 << 20}
		})
		a := n.client()
		at, _ := a.joins("r", nil)
		a.HangUp()
		for range 50 {
			w.must(errorOf(n.Broadcast(w.Context(), in("r"), "", json.RawMessage(`"`+strings.Repeat("x", 2000)+`"`))), nil)
		}
		b := n.client()
		back, heard := b.joins("r", &at)
		w.recovered(back, false)
		if len(heard) < 20 || len(heard) > 32 {
			w.Errorf("%d messages of 2 KB are kept, want 64 KiB", len(heard))
		}
	})
}
