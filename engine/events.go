package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// wants reports whether a sink of the tenant receives events of the kind.
func (e *Engine) wants(tenant string, kind events.Kind) bool {
	return e.events != nil && e.events.Wants(tenant).Has(kind)
}

// written waits until the store of events has the event of w; a nil w needs no wait. If ctx ends first, the request goes on,
// and the dispatcher counts it as late: a crash before the store has the event loses the event.
func (e *Engine) written(ctx context.Context, w *events.Write) { _ = w.Wait(ctx) }

// leftTime is the time that the end of a membership waits for the store of events.
const leftTime = 2 * time.Second

// writtenFirst waits until the store has the event of a membership that ends, before the record of the member is removed: if the node dies in
// between, another one finds the record and makes the same event.
func (e *Engine) writtenFirst(ctx context.Context, w *events.Write) {
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leftTime)
	defer cancel()
	e.written(ctx, w)
}

// memberEvent begins to write the event of a join or a leave; nil: no sink wants it. All nodes that know of the same join or
// leave give its event the same ID.
func (e *Engine) memberEvent(kind events.Kind, room string, p *hook.Profile, joinedAt int64, cause hook.Cause) *events.Write {
	if !e.wants(p.Tenant, kind) {
		return nil
	}
	id := events.IDOf(kind, p.Tenant, room, p.ID, joinedAt)
	data := events.Member{Room: room, Connection: p.ID, User: p.User, Cause: string(cause)}
	return e.events.Begin(p.Tenant, kind, events.NewEvent(id, kind, room, p.User, data))
}

// roomEvent begins to write the event of a room that was created or destroyed; nil: no sink wants it.
func (e *Engine) roomEvent(kind events.Kind, tenant, room string) *events.Write {
	if !e.wants(tenant, kind) {
		return nil
	}
	return e.events.Begin(tenant, kind, events.NewEvent(events.NewID(), kind, room, "", events.Room{Room: room}))
}

// sanctionEvent begins to write the event of a sanction that was set; nil: no sink wants it.
func (e *Engine) sanctionEvent(s *moderation.Sanction) *events.Write {
	if !e.wants(s.Tenant, events.SanctionSet) {
		return nil
	}
	data := events.Sanction{ID: s.ID, User: s.User, Kind: string(s.Kind), Rooms: s.Rooms, Until: s.Until, Reason: s.Reason, Note: s.Note, By: s.By, Module: s.Module}
	if s.Network.IsValid() {
		data.Address = s.Network.String()
	}
	id := events.IDOf(events.SanctionSet, s.Tenant, "", s.ID, s.At)
	return e.events.Begin(s.Tenant, events.SanctionSet, events.NewEvent(id, events.SanctionSet, "", s.User, data))
}

// pardonEvent begins to write the event of a sanction that was removed; nil: no sink wants it.
func (e *Engine) pardonEvent(tenant, id, by string) *events.Write {
	if !e.wants(tenant, events.SanctionRemoved) {
		return nil
	}
	return e.events.Begin(tenant, events.SanctionRemoved, events.NewEvent(events.NewID(), events.SanctionRemoved, "", "", events.Sanction{ID: id, By: by}))
}

// messageEvent begins to write the event of a message that was published; nil: no sink wants it. The caller is in the queue of
// the room, so that events have the order of the messages.
func (e *Engine) messageEvent(ev *hook.Event, p wire.Payload) *events.Write {
	if !e.wants(ev.Tenant, events.MessagePublished) {
		return nil
	}
	data := events.Message{MessageID: p.ID, Room: ev.Room, From: p.From, Message: json.RawMessage(p.Message.Text), SentAt: p.SentAt}
	if !p.Message.JSON {
		data.Message, _ = json.Marshal(p.Message.Text) // encoding a text cannot fail
	}
	if ev.Conn != nil && p.From == ev.Conn.ID {
		data.User = ev.Conn.User
	}
	return e.events.Begin(ev.Tenant, events.MessagePublished, events.NewEvent(events.NewID(), events.MessagePublished, ev.Room, data.User, data))
}

// releasedEvent takes the event of a held message that was published; nil: no sink wants it. Another node that repeats the release makes
// an event with the same ID.
func (e *Engine) releasedEvent(one *review.Item) *events.Write {
	if !e.wants(one.Tenant, events.MessagePublished) {
		return nil
	}
	p, err := wire.ParsePayload(one.Decision.Payload)
	if err != nil {
		return nil // it was published, so it is a payload
	}
	data := events.Message{MessageID: p.ID, Room: one.Decision.To, From: p.From, Message: p.Message.Value(), SentAt: p.SentAt}
	if p.From == one.Connection {
		data.User = one.User
	}
	id := events.IDOf(events.MessagePublished, one.Tenant, data.Room, one.ID, one.At)
	return e.events.Begin(one.Tenant, events.MessagePublished, events.NewEvent(id, events.MessagePublished, data.Room, data.User, data))
}

// heldEvent takes the event of a message that a rule holds, or of a decision about it; nil: no sink wants it.
func (e *Engine) heldEvent(kind events.Kind, one *review.Item) *events.Write {
	if !e.wants(one.Tenant, kind) {
		return nil
	}
	data := events.Held{Held: one.ID, Room: one.Said, Connection: one.Connection, User: one.User, Rule: one.Rule, Reason: one.Reason, Until: one.Until}
	at := one.At
	if kind == events.MessageDecided {
		outcome := one.Outcome()
		data.Outcome, data.Reason, data.By, data.Until, at = string(outcome), one.Decision.Reason, one.Decision.By, 0, one.Decision.At
		if outcome == review.Released {
			data.MessageID = one.MessageID
		}
	}
	return e.events.Begin(one.Tenant, kind, events.NewEvent(events.IDOf(kind, one.Tenant, one.Said, one.ID, at), kind, one.Said, one.User, data))
}

// amendedEvent takes the event of a message that was retracted or edited; nil: no sink wants it. The caller is in the queue of the room.
func (e *Engine) amendedEvent(t *tenant, a *amendment) *events.Write {
	kind := events.MessageRetracted
	if a.edit {
		kind = events.MessageEdited
	}
	if !e.wants(t.name, kind) {
		return nil
	}
	data := events.Amended{MessageID: a.id, Room: a.room, By: a.by, Module: a.module}
	if a.module != "" {
		data.By = ""
	}
	if a.conn != nil {
		data.User = a.conn.profile.Load().User
	}
	return e.events.Begin(t.name, kind, events.NewEvent(events.NewID(), kind, a.room, data.User, data))
}

// reportEvent begins to write the event of a report, with its newest reporter r; nil: no sink wants it. A reporter who repeats a report makes
// an event with the same ID.
func (e *Engine) reportEvent(one *review.Item, r *review.Reporter) *events.Write {
	if !e.wants(one.Tenant, events.ReportFiled) {
		return nil
	}
	data := reportData(one)
	data.Reason = r.Reason
	id := events.IDOf(events.ReportFiled, one.Tenant, one.Room, one.ID+" "+r.Connection, r.At)
	return e.events.Begin(one.Tenant, events.ReportFiled, events.NewEvent(id, events.ReportFiled, one.Room, one.User, data))
}

// resolvedEvent begins to write the event of a report that was decided or has expired; nil: no sink wants it.
func (e *Engine) resolvedEvent(one *review.Item) *events.Write {
	if !e.wants(one.Tenant, events.ReportResolved) {
		return nil
	}
	data := reportData(one)
	data.Outcome, data.Reason, data.By = string(one.Outcome()), one.Decision.Reason, one.Decision.By
	id := events.IDOf(events.ReportResolved, one.Tenant, one.Room, one.ID, one.Decision.At)
	return e.events.Begin(one.Tenant, events.ReportResolved, events.NewEvent(id, events.ReportResolved, one.Room, one.User, data))
}

func reportData(one *review.Item) events.Report {
	return events.Report{Report: one.ID, Room: one.Room, MessageID: one.MessageID, Connection: one.Connection, User: one.User, Reports: one.Reports}
}
