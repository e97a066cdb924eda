package engine

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// storedBytes is the approximate limit of the bytes of the messages that StoredMessages returns.
const storedBytes = 1 << 20

// StoredMessages returns at most limit messages of the history of a room, the oldest first: the last ones, or, if before is
// not 0, those before that offset. They are JSON objects in the form in which members receive them, without the changes of the
// hook say. kept is false if the room keeps no history. Errors: ErrNoTenant, cluster.ErrNoRoom, those of the cluster.
func (e *Engine) StoredMessages(ctx context.Context, id cluster.RoomID, before uint64, limit int) (messages []json.RawMessage, kept bool, err error) {
	t, err := e.tenant(id.Tenant)
	if err != nil {
		return nil, false, err
	}
	if err := e.exists(ctx, id); err != nil {
		return nil, false, err
	}
	keep := t.settings(id.Room).Retention
	if keep.Messages == 0 {
		return nil, false, nil
	}
	h := e.historyFor(t)
	page, err := h.Read(ctx, id, cluster.Position{}, 0, keep)
	if err != nil {
		return nil, true, err
	}
	end := page.Top.Offset
	if before > 0 {
		end = min(end, before-1)
	}
	b := backward{h: h, room: id, keep: keep, epoch: page.Top.Epoch, end: end} // offsets of amendments and of retracted messages have none
	for room, left := storedBytes, max(1, limit); room > 0 && left > 0; {
		stored, err := b.next(ctx, room)
		if err != nil {
			return nil, true, err
		}
		if len(stored) == 0 {
			break
		}
		for _, k := range slices.Backward(stored) {
			if k.Amends != "" {
				continue
			}
			if room -= len(k.Payload); left == 0 || room < 0 && len(messages) > 0 {
				break
			}
			left--
			messages = append(messages, wire.AppendPlaced(nil, k.Payload, cluster.Position{Epoch: page.Top.Epoch, Offset: k.Offset}))
		}
	}
	slices.Reverse(messages)
	return messages, true, nil
}
