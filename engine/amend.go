package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// The author of a message, the server API and modules can retract or edit it. Such an amendment has a position in the
// order of the room. Members that joined with "amendments" receive it; amended.go delivers it.

var (
	errNoTarget    = &VerbError{"both room and id are required"}
	errNotAuthor   = &VerbError{"not your message"}
	errNoHistory   = &VerbError{"message is not in history"}
	errUnamendable = &VerbError{"messages of this room cannot be changed (rooms.settings: ephemeral)"}
	errMoves       = &VerbError{"an edit cannot move a message to another room"}
)

// amendment is a request to retract or edit a message.
type amendment struct {
	conn    *Connection // the author; nil: the server API or a module
	by      string      // the person who amends the message, for members; "": the author
	module  string      // the name of the module; "": a person
	room    string
	id      string
	edit    bool
	message wire.Message // the new text of an edit
	caused  bool         // a module's effect caused it
}

// retract retracts a message of the client. The client may be muted, and may have left the room.
func (c *Connection) retract(ctx context.Context, r *wire.Request) (result, error) {
	_, err := c.engine.amend(ctx, c.tenant, amendment{conn: c, room: r.Room, id: r.Target})
	return result{}, err
}

// edit replaces the text of a message of the client.
func (c *Connection) edit(ctx context.Context, r *wire.Request) (result, error) {
	message, err := c.messageOf(r)
	if err != nil {
		return result{}, err
	}
	switch {
	case r.Room == "" || r.Target == "" || message.Text == "":
		return result{}, &VerbError{"room, id and message are required"}
	case !c.isIn(r.Room):
		return result{}, errNotIn(r.Room)
	case len(message.Text) > c.tenant.cfg().Limits.MessageBytes:
		return result{}, errTooLarge
	}
	effects, err := c.engine.amend(ctx, c.tenant, amendment{conn: c, room: r.Room, id: r.Target, edit: true, message: message})
	return result{effects: c.engine.applyNow(ctx, c.tenant, c, effects, false)}, err
}

// RetractMessage retracts a message for the server API. Members see by as the name of the person who did
// it; "": they see no name. If the history of the room has the message, it is removed from there. The error is nil even if
// no node knows the message. It is a *VerbError if id is not the id of a message, or if the room is ephemeral.
func (e *Engine) RetractMessage(ctx context.Context, room cluster.RoomID, id, by string) error {
	return e.amendAs(ctx, room, amendment{id: id, by: by})
}

// EditMessage edits a message for the server API, through the rules of the room. message is any JSON value; by is as in
// RetractMessage. The error is a *VerbError if the message is not in history, or if a rule refuses the edit.
func (e *Engine) EditMessage(ctx context.Context, room cluster.RoomID, id, by string, message json.RawMessage) error {
	m, err := jsonMessage(message)
	if err != nil {
		return err
	}
	if m.Text == "" {
		return &VerbError{"room, id and message are required"}
	}
	return e.amendAs(ctx, room, amendment{id: id, by: by, edit: true, message: m})
}

func (e *Engine) amendAs(ctx context.Context, room cluster.RoomID, a amendment) error {
	t, err := e.tenant(room.Tenant)
	if err != nil {
		return err
	}
	running := t.withVerbTime(ctx)
	defer running.stop()
	a.room = room.Room
	effects, err := e.amend(running, t, a)
	if err == nil {
		e.applyAll(running, t, nil, effects)
	}
	return inTime(running, err)
}

// amendStats counts the amendments of a kind on this node.
type amendStats struct{ published, refused, failed atomic.Uint64 }

func (s *amendStats) snapshot() cluster.AmendmentStats {
	return cluster.AmendmentStats{Published: s.published.Load(), Refused: s.refused.Load(), Failed: s.failed.Load()}
}

// amendStats returns the counters of retractions or of edits.
func (s *stats) amendStats(edit bool) *amendStats {
	if edit {
		return &s.edits
	}
	return &s.retractions
}

// amend checks an amendment and publishes it. The caller applies the effects.
func (e *Engine) amend(ctx context.Context, t *tenant, a amendment) ([]hook.Effect, error) {
	effects, err := e.tryAmend(ctx, t, a)
	switch {
	case err == nil:
	case IsRefusal(err):
		e.stats.amendStats(a.edit).refused.Add(1)
	default:
		e.stats.amendStats(a.edit).failed.Add(1)
	}
	return effects, err
}

func (e *Engine) tryAmend(ctx context.Context, t *tenant, a amendment) ([]hook.Effect, error) {
	id := cluster.RoomID{Tenant: t.name, Room: a.room}
	settings := t.settings(a.room)
	switch {
	case wire.ValidRoom(a.room) != nil, !validMessageID(a.id):
		return nil, errNoTarget
	case settings.Retention.Ephemeral:
		return nil, errUnamendable
	case a.conn != nil && !e.isAuthor(a.id, t.name, a.room, a.conn.profile.Load()):
		return nil, errNotAuthor
	}
	if err := t.mayPublish(); err != nil {
		return nil, err
	}
	if err := e.exists(ctx, id); err != nil {
		return nil, err
	}
	target, read, err := e.findMessage(ctx, t, a.room, a.id)
	if a.conn != nil {
		a.conn.chargePage(read)
	}
	if err != nil {
		return nil, err
	}
	r := t.acquire(a.room)
	defer t.release(r)
	if err := r.queue.enter(ctx); err != nil {
		if err == errRoomBusy {
			e.stats.busy.Add(1)
		}
		return nil, err
	}
	defer r.queue.leave()
	if !a.edit {
		return nil, e.publishRetraction(ctx, t, a, target.At.Offset, settings.Retention)
	}
	return e.receiveEdit(ctx, t, r, a, target)
}

// findMessage returns the last version of a message of history, with its position, and the number of bytes that it has read. The
// position is zero if history does not have the message.
func (e *Engine) findMessage(ctx context.Context, t *tenant, room, id string) (p wire.Payload, read int, err error) {
	keep := t.settings(room).Retention
	if keep.Messages == 0 {
		return p, 0, nil
	}
	h, at := e.historyFor(t), cluster.RoomID{Tenant: t.name, Room: room}
	page, err := h.Read(ctx, at, cluster.Position{}, 0, keep)
	if err != nil {
		return p, 0, err
	}
	b := backward{h: h, room: at, keep: keep, epoch: page.Top.Epoch, end: page.Top.Offset}
	mark := []byte(`"id":"` + id + `"`)
	for {
		messages, err := b.next(ctx, t.cfg().Limits.OutboxBytes/4)
		if err != nil || len(messages) == 0 {
			return p, b.bytes, err
		}
		for _, k := range slices.Backward(messages) {
			if k.Amends != "" || !bytes.Contains(k.Payload, mark) || wire.PayloadID(k.Payload) != id {
				continue
			}
			if p, err = wire.ParsePayload(k.Payload); err == nil {
				p.At = cluster.Position{Epoch: b.epoch, Offset: k.Offset}
			}
			return p, b.bytes, err
		}
	}
}

// retraction is the payload of a retraction.
type retraction struct {
	Room        string `json:"room"`
	Context     string `json:"context"` // "user"
	SentAt      int64  `json:"sentAt"`
	RetractedBy string `json:"retractedBy,omitempty"`
}

// publishRetraction publishes a retraction. at is the offset of the message in history; 0: history does not have it. The
// caller has its turn in the room's queue.
func (e *Engine) publishRetraction(ctx context.Context, t *tenant, a amendment, at uint64, keep cluster.Retention) error {
	payload, err := json.Marshal(retraction{a.room, "user", time.Now().UnixMilli(), a.by})
	if err != nil {
		return err
	}
	if at == 0 && a.conn != nil && a.conn.sanctioned() { // nobody else has received a message of a shadowed client
		if shadow := a.conn.sanction(moderation.Shadow, a.room); shadow != nil {
			return e.retractShadowed(ctx, t, a, payload, shadow)
		}
	}
	return e.publishAmendment(ctx, t, a, cluster.Amendment{Message: a.id, At: at, Retract: true, Payload: payload}, keep)
}

func (e *Engine) publishAmendment(ctx context.Context, t *tenant, a amendment, c cluster.Amendment, keep cluster.Retention) error {
	err := e.cluster.Broker.Amend(ctx, cluster.RoomID{Tenant: t.name, Room: a.room}, c, keep)
	if errors.Is(err, cluster.ErrNoMessage) {
		return errNoHistory
	}
	if err == nil {
		e.stats.amendStats(a.edit).published.Add(1)
		e.stats.messages.Add(1)
		t.messages.Add(1)
		e.written(ctx, e.amendedEvent(t, &a))
	}
	return err
}

// receiveEdit runs the onSayReceive chain for the new text of a message and publishes the edit. Rules
// may change the text and the extra members; the sender and the time stay those of the message. The caller
// has its turn in the room's queue.
func (e *Engine) receiveEdit(ctx context.Context, t *tenant, r *room, a amendment, target wire.Payload) (effects []hook.Effect, err error) {
	hidden := false // only the author receives the edit
	if a.conn != nil {
		if err := a.conn.silenced(a.room); err != nil {
			return nil, err
		}
		hidden = a.conn.sanctioned() && a.conn.sanction(moderation.Shadow, a.room) != nil
	}
	if target.At == (wire.Position{}) {
		if !hidden { // messages of a shadowed client are not in history
			return nil, errNoHistory
		}
		target = wire.Payload{ID: a.id, Room: a.room, From: a.conn.ID(), Context: "user", SentAt: time.Now().UnixMilli()}
	}
	if a.module != "" && moderated(&target) {
		return nil, errModerated
	}
	ev := hook.Event{Hook: hook.OnSayReceive, Tenant: t.name, Room: a.room, Caused: a.caused, MessageID: a.id, Edits: a.id,
		Message: a.message, From: target.From, Context: target.Context, SentAt: target.SentAt, Waiter: &r.queue}
	if a.conn != nil {
		ev.Conn = a.conn.profile.Load()
		ev.JoinedAt = a.conn.joinedAt(a.room)
	}
	v := e.decide(ctx, &ev)
	if v.Waited > 0 {
		if err := e.stillIn(ctx, r, a.conn, ev.JoinedAt); err != nil {
			return nil, err
		}
	}
	if v.Outcome == hook.Dropped {
		return nil, nil
	}
	if err := refusal(&v); err != nil {
		return nil, err
	}
	switch {
	case ev.Room != a.room:
		return nil, fmt.Errorf("edit by %s: %w", v.Module, errMoves)
	case len(ev.Message.Text) > maxMessage:
		return nil, errTooLarge
	}
	if e.middleware.Asks(hook.OnSayReceive, t.name, a.room) { // the chain may have taken long
		if err := e.exists(ctx, r.id); err != nil {
			return nil, err
		}
	}
	if a.module != "" {
		if err := e.stillUnmoderated(ctx, t, r, &target); err != nil {
			return nil, err
		}
	}
	target.Message, target.Extra = ev.Message, ev.Extra
	target.EditedAt, target.EditedBy = time.Now().UnixMilli(), a.by
	return e.publishEdit(ctx, t, a, target, &v)
}

// publishEdit checks the author's sanctions again and publishes the new version p of a message.
func (e *Engine) publishEdit(ctx context.Context, t *tenant, a amendment, p wire.Payload, v *hook.Verdict) ([]hook.Effect, error) {
	at := p.At
	p.At = cluster.Position{}
	if c := a.conn; c != nil && c.sanctioned() {
		if err := c.silenced(a.room); err != nil {
			return nil, err
		}
		if shadow := c.sanction(moderation.Shadow, a.room); shadow != nil {
			author := c.profile.Load()
			effects := e.moderate(t, unnoticed(author, v.Effects))
			return effects, e.editShadowed(ctx, t, p, author, shadow)
		}
	}
	if at.Offset == 0 { // the shadow was pardoned meanwhile
		return nil, errNoHistory
	}
	payload := wire.AppendPayload(make([]byte, 0, 256+len(p.Message.Text)), p)
	err := e.publishAmendment(ctx, t, a, cluster.Amendment{Message: a.id, At: at.Offset, Payload: payload}, t.settings(a.room).Retention)
	if err != nil {
		return nil, err
	}
	return e.moderate(t, v.Effects), nil // before the next message of the queue is checked
}
