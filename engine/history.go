package engine

import (
	"context"
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

// storedAt is a message or an amendment of history and its position.
type storedAt struct {
	at      cluster.Position
	payload []byte
	amends  string // the id of the message that the amendment changed; "": it is a message
	retract bool
}

func stored(epoch string, k cluster.StoredMessage) storedAt {
	return storedAt{cluster.Position{Epoch: epoch, Offset: k.Offset}, k.Payload, k.Amends, k.Retract}
}

// missedMessages holds the messages after a client's position.
type missedMessages struct {
	messages []storedAt         // in order; the last ones that fit into half of an outbox
	whole    bool               // no message is missing
	at       cluster.Position   // the position of the room after them
	former   []cluster.Position // the ends of the epochs before at
}

// readMissed reads the messages since a position. A nil since reads the position only. several is the number of members that share
// the outbox.
func (e *Engine) readMissed(ctx context.Context, m *member, since *cluster.Position, several int) (got missedMessages, err error) {
	keep := m.conn.tenant.settings(m.room.id.Room).Retention
	if since == nil {
		page, err := e.historyFor(m.conn.tenant).Read(ctx, m.room.id, cluster.Position{}, 0, keep)
		return missedMessages{whole: true, at: page.Top, former: page.Former}, err
	}
	page, err := e.historyFor(m.conn.tenant).Read(ctx, m.room.id, *since, firstRead, keep)
	if err != nil {
		return missedMessages{}, err
	}
	got.whole, got.at, got.former = true, page.Top, page.Former // whole so far
	room := m.conn.tenant.cfg().Limits.OutboxBytes / 2 / several
	last := since.Offset
	if n := len(page.Messages); n > 0 {
		last = page.Messages[n-1].Offset
	}
	if len(page.Messages) == firstRead {
		b := backward{h: e.historyFor(m.conn.tenant), room: m.room.id, keep: keep, epoch: page.Top.Epoch, after: last, end: page.Top.Offset}
		for got.whole {
			messages, err := b.next(ctx, room)
			if err != nil {
				return missedMessages{}, err
			}
			if len(messages) == 0 {
				got.whole = !b.missing
				break
			}
			got.add(page.Top.Epoch, messages, &room)
		}
	}
	if room >= 0 && (got.whole || len(got.messages) == 0) {
		got.add(page.Top.Epoch, page.Messages, &room)
	}
	got.whole = got.whole && !page.Missing
	slices.Reverse(got.messages)
	return got, nil
}

// add appends messages, the last one first, until one does not fit into room bytes.
func (g *missedMessages) add(epoch string, messages []cluster.StoredMessage, room *int) {
	for _, k := range slices.Backward(messages) {
		if *room -= len(k.Payload) + perMessage; *room < 0 {
			g.whole = false
			return
		}
		g.messages = append(g.messages, stored(epoch, k))
	}
}

// historyText returns a message or an amendment of history, with its position, as the say chain leaves it
// for a member; nil if the member receives nothing.
func (e *Engine) historyText(ctx context.Context, m *member, p storedAt) []byte {
	id := m.room.id
	switch {
	case p.amends != "" && !m.amends:
		if !m.conn.tenant.settings(id.Room).AmendmentNotices {
			return nil
		}
		return (&delivery{room: m.room, retracts: p.retract, shown: p.at}).notice()
	case p.retract, !e.middleware.Asks(hook.Say, id.Tenant, id.Room):
		return m.conn.storedText(p)
	}
	payload, err := wire.ParsePayload(p.payload)
	if err != nil {
		e.log.Error("message dropped: not a payload", "tenant", id.Tenant, "room", id.Room, "error", err)
		return nil
	}
	ev := eventOf(id, payload, p.at.Offset)
	ev.Edits = p.amends
	d := e.askMembers(ctx, &ev, []hook.Member{m})
	if d.Release != nil {
		defer d.Release()
	}
	k := answerFor(&d, 0)
	switch {
	case k == hook.AsIs:
		return m.conn.storedText(p)
	case k < 0 || int(k) >= len(d.Answers):
		return nil
	}
	answer := d.Answers[k]
	if !m.conn.actionHero {
		answer.SetOrigin(&payload)
	}
	if p.amends != "" {
		p.payload = wire.AppendPayload(nil, answer)
		return m.conn.storedText(p)
	}
	answer.At = p.at
	return wire.AppendPayload(nil, answer)
}

// storedText returns a message or an amendment of history as it was published, with its position.
func (c *Connection) storedText(p storedAt) []byte {
	if p.amends != "" {
		return wire.AppendAmendment(nil, p.retract, p.amends, p.payload, p.at)
	}
	if c.actionHero {
		return wire.AppendPlain(nil, p.payload, p.at)
	}
	return wire.AppendPlaced(nil, p.payload, p.at)
}

// maxHistoryPage and defaultHistoryPage are the largest and the default number of messages
// that roomHistory returns.
const (
	maxHistoryPage     = 1000
	defaultHistoryPage = 50
)

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
	if err := c.awaitReader(ctx); err != nil {
		return result{}, err
	}
	view, err := c.engine.historyOf(ctx, m, r.Before, min(limit, maxHistoryPage))
	if err != nil {
		return result{}, err
	}
	var data []byte
	err = c.tenant.pages.take(ctx, func() { data = view.append(make([]byte, 0, view.size()+512)) })
	c.chargePage(len(data))
	return result{data: data}, err
}

// historyOf returns the last messages before an offset; before 0 means the last messages of
// the room.
func (e *Engine) historyOf(ctx context.Context, m *member, before uint64, limit int) (historyPart, error) {
	h, keep := e.historyFor(m.conn.tenant), m.conn.tenant.settings(m.room.id.Room).Retention
	page, err := h.Read(ctx, m.room.id, cluster.Position{}, 0, keep)
	if err != nil {
		return historyPart{}, err
	}
	end := page.Top.Offset
	if before > 0 {
		end = min(end, before-1)
	}
	// Each offset has a message, except those of amendments and of retracted messages.
	b := backward{h: h, room: m.room.id, keep: keep, epoch: page.Top.Epoch, after: end - min(end, uint64(limit)), end: end}
	view := historyPart{room: m.room.id.Room, epoch: page.Top.Epoch}
	room, oldest, full := m.conn.tenant.cfg().Limits.OutboxBytes/4, uint64(0), false
	for !full {
		messages, err := b.next(ctx, room)
		if err != nil {
			return historyPart{}, err
		}
		if len(messages) == 0 && (b.missing || b.after == 0 || limit == 0) {
			break
		}
		if len(messages) == 0 {
			b.after -= min(b.after, uint64(max(limit, historyPage)))
		}
		for _, k := range slices.Backward(messages) {
			if k.Amends != "" {
				continue
			}
			text := e.historyText(ctx, m, stored(view.epoch, k))
			if ctx.Err() != nil { // the chain was interrupted, so text is not valid
				return historyPart{}, context.Cause(ctx)
			}
			if room -= len(text); room < 0 && len(view.messages) > 0 || limit == 0 {
				full = true
				break
			}
			oldest = k.Offset
			limit--
			if text != nil {
				view.messages = append(view.messages, text)
			}
		}
	}
	if oldest > 0 && (full || b.after > 0 && !b.missing) {
		view.before = oldest
	}
	return view, nil
}
