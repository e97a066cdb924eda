package engine

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// storedBytes bounds the messages that StoredMessages returns, in bytes.
const storedBytes = 1 << 20

// StoredMessages returns at most limit messages of the history of a room, the oldest first: the last ones, or those
// before an offset if before is not 0. They are JSON objects as members receive them, but as published: the hook say is
// not asked. kept is false if the room keeps no history. It returns cluster.ErrNoRoom if there is no such room.
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
	b := backward{h: h, room: id, keep: keep, epoch: page.Top.Epoch, after: end - min(end, uint64(max(1, limit))), end: end}
	for room := storedBytes; room > 0; {
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
			if room -= len(k.Payload); room < 0 && len(messages) > 0 {
				break
			}
			messages = append(messages, wire.AppendPlaced(nil, k.Payload, cluster.Position{Epoch: page.Top.Epoch, Offset: k.Offset}))
		}
	}
	slices.Reverse(messages)
	return messages, true, nil
}
