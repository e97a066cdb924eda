package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// historyPage is the number of messages that one read of history returns at most.
const historyPage = 128

// perMessage is the number of bytes that a message needs in an outbox beside its payload:
// its position and the header of its frame.
const perMessage = 128

// storedAt is a message of history and its position.
type storedAt struct {
	at      cluster.Position
	payload []byte
}

// missedMessages holds the messages after a client's position.
type missedMessages struct {
	messages []storedAt // in order; the last ones that fit into half of an outbox
	whole    bool       // no message is missing
}

// readMissed reads the messages since a position and returns the position of the room after
// them. A nil since reads the position only. several is the number of members that share
// the outbox.
func (e *Engine) readMissed(ctx context.Context, m *member, since *cluster.Position, several int) (got missedMessages, at cluster.Position, err error) {
	keep := m.conn.tenant.settings(m.room.id.Room).Retention
	if since == nil {
		page, err := e.cluster.History.Read(ctx, m.room.id, cluster.Position{}, 0, keep)
		return missedMessages{whole: true}, page.Top, err
	}
	at, got.whole = *since, true
	room := m.conn.tenant.cfg().Limits.OutboxBytes / 2 / several
	for {
		page, err := e.cluster.History.Read(ctx, m.room.id, at, historyPage, keep)
		if err != nil {
			return missedMessages{}, cluster.Position{}, err
		}
		got.whole = got.whole && !page.Missing
		for _, k := range page.Messages {
			at = cluster.Position{Epoch: page.Top.Epoch, Offset: k.Offset}
			got.messages = append(got.messages, storedAt{at, k.Payload})
			room -= len(k.Payload) + perMessage
		}
		for room < 0 {
			room += len(got.messages[0].payload) + perMessage
			got.messages, got.whole = got.messages[1:], false
		}
		if len(page.Messages) < historyPage {
			return got, page.Top, nil
		}
	}
}

// historyText returns a message of history, with its position, as the say chain leaves it
// for a member; nil if the member receives nothing.
func (e *Engine) historyText(ctx context.Context, m *member, p storedAt) []byte {
	id := m.room.id
	if !e.middleware.Asks(hook.Say, id.Tenant, id.Room) {
		return wire.AppendPlaced(nil, p.payload, p.at)
	}
	payload, err := wire.ParsePayload(p.payload)
	if err != nil {
		e.log.Error("message dropped: not a payload", "tenant", id.Tenant, "room", id.Room, "error", err)
		return nil
	}
	ev := eventOf(id, payload, p.at.Offset)
	d := e.askMembers(ctx, &ev, []hook.Member{m})
	if d.Release != nil {
		defer d.Release()
	}
	k := d.All
	switch {
	case len(d.For) == 1:
		k = d.For[0]
	case d.For != nil:
		k = hook.Nothing
	case len(d.Answers) == 0 && k == 0:
		k = hook.AsIs
	}
	switch {
	case k == hook.AsIs:
		return wire.AppendPlaced(nil, p.payload, p.at)
	case k < 0 || int(k) >= len(d.Answers):
		return nil
	}
	answer := d.Answers[k]
	answer.At = p.at
	return wire.AppendPayload(nil, answer)
}

// maxHistoryPage and defaultHistoryPage are the largest and the default number of messages
// that roomHistory returns.
const (
	maxHistoryPage     = 1000
	defaultHistoryPage = 50
)

// historyView is the answer to roomHistory.
type historyView struct {
	Room     string            `json:"room"`
	Epoch    string            `json:"epoch"`
	Messages []json.RawMessage `json:"messages"`         // in the room's order, in the form of chat messages
	Before   uint64            `json:"before,omitempty"` // the offset for the request of the previous page; 0: there is none
}

// roomHistory returns the last messages, or those before an offset. The answer has at most
// a quarter of the bytes of an outbox.
func (c *Connection) roomHistory(ctx context.Context, r *wire.Request) (result, error) {
	m := c.membership(r.Room)
	if m == nil {
		return result{}, errNotIn(named(r))
	}
	if c.tenant.settings(r.Room).Retention.Messages == 0 {
		return result{}, &VerbError{fmt.Sprintf("room keeps no history (%s)", r.Room)}
	}
	limit := r.Limit
	if limit == 0 {
		limit = defaultHistoryPage
	}
	view, err := c.engine.historyOf(ctx, m, r.Before, min(limit, maxHistoryPage))
	if err != nil {
		return result{}, err
	}
	data, err := json.Marshal(view)
	return result{data: data}, err
}

// historyOf returns the last messages before an offset; before 0 means the last messages of
// the room.
func (e *Engine) historyOf(ctx context.Context, m *member, before uint64, limit int) (historyView, error) {
	page, from, err := e.pageBefore(ctx, m, before, limit)
	if err != nil {
		return historyView{}, err
	}
	view := historyView{Room: m.room.id.Room, Epoch: page.Top.Epoch, Messages: []json.RawMessage{}}
	first, room := len(page.Messages), m.conn.tenant.cfg().Limits.OutboxBytes/4
	var texts []json.RawMessage // in reverse order
	for first > 0 {
		k := page.Messages[first-1]
		text := e.historyText(ctx, m, storedAt{cluster.Position{Epoch: page.Top.Epoch, Offset: k.Offset}, k.Payload})
		if ctx.Err() != nil { // the chain was interrupted, so text is not valid
			return historyView{}, context.Cause(ctx)
		}
		if room -= len(text); room < 0 && len(texts) > 0 {
			break
		}
		first--
		if text != nil {
			texts = append(texts, text)
		}
	}
	for _, t := range slices.Backward(texts) {
		view.Messages = append(view.Messages, t)
	}
	if len(page.Messages) > 0 && (first > 0 || from > 0 && !page.Missing) {
		view.Before = page.Messages[first].Offset
	}
	return view, nil
}

// pageBefore reads at most limit messages before an offset and returns the offset before
// them. Offsets have no gaps, so it can compute the first one.
func (e *Engine) pageBefore(ctx context.Context, m *member, before uint64, limit int) (page cluster.Page, from uint64, err error) {
	h, keep := e.cluster.History, m.conn.tenant.settings(m.room.id.Room).Retention
	if page, err = h.Read(ctx, m.room.id, cluster.Position{}, 0, keep); err != nil {
		return page, 0, err
	}
	end := page.Top.Offset
	if before > 0 {
		end = min(end, before-1)
	}
	from = end - min(end, uint64(limit))
	page, err = h.Read(ctx, m.room.id, cluster.Position{Epoch: page.Top.Epoch, Offset: from}, int(end-from), keep)
	// Messages may have left history in the meantime. The page then has messages after the
	// end.
	page.Messages = slices.DeleteFunc(page.Messages, func(k cluster.StoredMessage) bool { return k.Offset > end })
	return page, from, err
}
