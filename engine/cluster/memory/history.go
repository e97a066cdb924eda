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

// history is the position of a topic's last message, and the kept messages: the last ones,
// without a gap.
type history struct {
	mu    sync.Mutex
	top   cluster.Position
	kept  []kept
	bytes int64       // of kept
	until time.Time   // the time at which history is forgotten
	timer *time.Timer // fires at until; nil: there is no history
}

type kept struct {
	payload []byte
	at      time.Time
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

// add gives a message its position, and keeps it if the room has history.
func (h *history) add(payload []byte, keep cluster.Retention) cluster.Position {
	h.top.Offset++
	if keep.Messages <= 0 {
		h.kept, h.bytes = nil, 0
		return h.top
	}
	now := time.Now()
	h.drop(h.gone(keep.Messages-1, keep.For, now))
	h.bytes += int64(len(payload)) + keptSize
	for keep.Bytes > 0 && h.bytes > keep.Bytes && len(h.kept) > 0 {
		h.drop(1)
	}
	h.kept = append(h.kept, kept{append(make([]byte, 0, len(payload)), payload...), now})
	return h.top
}

// drop removes the oldest n messages.
func (h *history) drop(n int) {
	for i := range h.kept[:n] {
		h.bytes -= int64(len(h.kept[i].payload)) + keptSize
		h.kept[i] = kept{}
	}
	h.kept = h.kept[n:]
}

// gone returns how many of the kept messages are too old or exceed the number.
func (h *history) gone(messages int, age time.Duration, now time.Time) int {
	old := sort.Search(len(h.kept), func(i int) bool { return now.Sub(h.kept[i].at) <= age })
	return max(old, len(h.kept)-messages)
}

func (h *history) read(after cluster.Position, limit int, keep cluster.Retention, now time.Time) cluster.Page {
	page := cluster.Page{Top: h.top}
	if after.Epoch != h.top.Epoch || after.Offset > h.top.Offset {
		page.Missing = true
		return page
	}
	all := h.kept[h.gone(keep.Messages, keep.For, now):]
	before := h.top.Offset - uint64(len(all)) // the offset of the last removed message
	page.Missing = after.Offset < before
	first := max(after.Offset, before)
	all = all[first-before:]
	for i, m := range all[:min(limit, len(all))] {
		page.Messages = append(page.Messages, cluster.StoredMessage{Offset: first + uint64(i) + 1, Payload: append([]byte(nil), m.payload...)})
	}
	return page
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
	h.timer, h.kept, h.bytes = nil, nil, 0
	h.mu.Unlock()
	ts.release(room, t)
}
