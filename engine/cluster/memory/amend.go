package memory

import (
	"context"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// amends names the message that an amendment changed.
type amends struct {
	message string
	retract bool
}

const (
	maxPerMessage = 4    // positions that a room keeps for each message of its retention
	maxRetracted  = 1024 // ids of retracted messages that a room remembers
)

// Amend implements cluster.Broker.
func (n *node) Amend(ctx context.Context, room cluster.RoomID, a cluster.Amendment, keep cluster.Retention) error {
	if _, err := n.up(ctx); err != nil {
		return err
	}
	ts := &n.hub.topics
	t := ts.hold(room)
	switch {
	case t == nil && a.Retract && keep.Messages <= 0:
		return nil // nobody is there
	case t == nil:
		t = ts.open(room)
	}
	defer ts.release(room, t)
	return ts.inTurn(ctx, t, func() error {
		at, publish, err := ts.recordAmendment(room, t, a, keep)
		if err != nil || !publish {
			return err
		}
		for _, s := range *t.subscribers.Load() {
			s.call(func() { s.handler.Amended(s.ctx, room, at, a) })
		}
		return nil
	})
}

// recordAmendment gives an amendment its position and applies it to history. publish is false if
// the message was retracted before.
func (ts *topics) recordAmendment(room cluster.RoomID, t *topic, a cluster.Amendment, keep cluster.Retention) (at cluster.Position, publish bool, err error) {
	h := &t.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Retract && slices.Contains(h.retracted, a.Message) {
		return at, false, nil
	}
	target := h.find(a)
	if !a.Retract && target < 0 {
		return at, false, cluster.ErrNoMessage
	}
	if keep.Messages > 0 {
		ts.remember(room, t, keep)
	}
	if target >= 0 && a.Retract {
		h.remove(target)
	} else if target >= 0 {
		h.bytes += int64(len(a.Payload) - len(h.kept[target].payload))
		h.kept[target].payload = slices.Clone(a.Payload)
	}
	if last := slices.IndexFunc(h.kept, func(k kept) bool { return k.amends != nil && k.amends.message == a.Message }); last >= 0 {
		h.remove(last)
	}
	if a.Retract {
		h.retracted = append(h.retracted, a.Message)
		h.retracted = h.retracted[max(0, len(h.retracted)-maxRetracted):]
	}
	return h.add(a.Payload, &amends{a.Message, a.Retract}, keep), true, nil
}

// find returns the index in kept of the message that a changes; -1: history does not have it.
func (h *history) find(a cluster.Amendment) int {
	is := func(k kept) bool { return k.amends == nil && wire.PayloadID(k.payload) == a.Message }
	if a.At == 0 {
		return -1
	}
	if i := h.after(a.At - 1); i < len(h.kept) && h.kept[i].offset == a.At && is(h.kept[i]) {
		return i
	}
	return -1
}

// remove removes the message or the amendment with an index of kept. Its offset is then empty.
func (h *history) remove(i int) {
	h.uncount(i)
	h.kept = slices.Delete(h.kept, i, i+1)
}
