package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/mootchat/moot/engine/cluster"
)

// history is the position of a topic's last message or amendment, and those that are kept: all after the offset
// dropped, except for retracted messages, and for amendments that a later one of the same message replaces.
type history struct {
	mu         sync.Mutex
	top        cluster.Position
	dropped    uint64
	kept       []kept
	bytes      int64       // of kept
	amendments int         // in kept
	retracted  []string    // ids of the last retracted messages
	until      time.Time   // the time at which history is forgotten
	timer      *time.Timer // fires at until; nil: there is no history
}

type kept struct {
	offset  uint64
	payload []byte
	at      time.Time
	amends  *amends // nil: it is a message
}

const keptSize = int64(unsafe.Sizeof(kept{}))

func newEpoch() string { return strings.ToLower(rand.Text()[:16]) }

// Read implements cluster.History.
func (n *node) Read(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (cluster.Page, error) {
	if limit < 0 {
		return cluster.Page{}, fmt.Errorf("history: limit %d: must be 0 or more", limit)
	}
	if _, err := n.up(ctx); err != nil {
		return cluster.Page{}, err
	}
	ts := &n.hub.topics
	t := ts.open(room)
	defer ts.release(room, t)
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	ts.remember(room, t, keep)
	return t.history.read(after, limit, keep, time.Now()), nil
}

// add gives a message or an amendment its position, and keeps it if the room has history.
func (h *history) add(payload []byte, amends *amends, keep cluster.Retention) cluster.Position {
	h.top.Offset++
	if keep.Messages <= 0 {
		h.forget()
		return h.top
	}
	now, messages := time.Now(), keep.Messages
	if amends == nil {
		messages--
	}
	h.drop(h.gone(messages, keep.For, now))
	h.bytes += int64(len(payload)) + keptSize
	for keep.Bytes > 0 && h.bytes > keep.Bytes && len(h.kept) > 0 {
		h.drop(1)
	}
	h.kept = append(h.kept, kept{h.top.Offset, append(make([]byte, 0, len(payload)), payload...), now, amends})
	if amends != nil {
		h.amendments++
	}
	return h.top
}

// forget removes all messages.
func (h *history) forget() { h.kept, h.bytes, h.amendments, h.dropped = nil, 0, 0, h.top.Offset }

// drop removes the oldest n messages and amendments.
func (h *history) drop(n int) {
	for i := range h.kept[:n] {
		h.dropped = h.kept[i].offset
		h.uncount(i)
		h.kept[i] = kept{}
	}
	h.kept = h.kept[n:]
}

// uncount subtracts a message or an amendment that is going to be removed.
func (h *history) uncount(i int) {
	h.bytes -= int64(len(h.kept[i].payload)) + keptSize
	if h.kept[i].amends != nil {
		h.amendments--
	}
}

// gone returns the number of kept messages and amendments, from the oldest, that are too old or exceed the
// number of messages.
func (h *history) gone(messages int, age time.Duration, now time.Time) int {
	old := sort.Search(len(h.kept), func(i int) bool { return now.Sub(h.kept[i].at) <= age })
	old = max(old, len(h.kept)-maxPerMessage*messages)
	for i, surplus := 0, len(h.kept)-h.amendments-messages; surplus > 0; i++ {
		if h.kept[i].amends == nil {
			surplus--
			old = max(old, i+1)
		}
	}
	return old
}

func (h *history) read(after cluster.Position, limit int, keep cluster.Retention, now time.Time) cluster.Page {
	page := cluster.Page{Top: h.top}
	if after.Epoch != h.top.Epoch || after.Offset > h.top.Offset {
		page.Missing = true
		return page
	}
	gone, before := h.gone(keep.Messages, keep.For, now), h.dropped
	if gone > 0 {
		before = h.kept[gone-1].offset
	}
	page.Missing = after.Offset < before
	all := h.kept[max(gone, h.after(after.Offset)):]
	for _, m := range all[:min(limit, len(all))] {
		stored := cluster.StoredMessage{Offset: m.offset, Payload: append([]byte(nil), m.payload...)}
		if m.amends != nil {
			stored.Amends, stored.Retract = m.amends.message, m.amends.retract
		}
		page.Messages = append(page.Messages, stored)
	}
	return page
}

// after returns the index of the first message or amendment after an offset.
func (h *history) after(offset uint64) int {
	return sort.Search(len(h.kept), func(i int) bool { return h.kept[i].offset > offset })
}

// remember keeps the topic until keep.For has passed, because members may know positions in it.
// history.mu is held.
func (ts *topics) remember(room cluster.RoomID, t *topic, keep cluster.Retention) {
	h := &t.history
	if until := time.Now().Add(keep.For); until.After(h.until) {
		h.until = until
	}
	if h.timer == nil && keep.For > 0 {
		t.users.Add(1)
		h.timer = time.AfterFunc(keep.For, func() { ts.expire(room, t) })
	}
}

// expire forgets a topic's history at the end of its time.
func (ts *topics) expire(room cluster.RoomID, t *topic) {
	h := &t.history
	h.mu.Lock()
	if left := time.Until(h.until); left > 0 {
		h.timer.Reset(left)
		h.mu.Unlock()
		return
	}
	h.timer = nil
	h.forget()
	h.mu.Unlock()
	ts.release(room, t)
}
