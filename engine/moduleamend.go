package engine

import (
	"context"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

var errModerated = &VerbError{"a moderator has edited the message: rules do not change it"}

// moderated reports whether a person other than the author has edited the message last.
func moderated(p *wire.Payload) bool { return p.EditedBy != "" && p.EditedBy != system }

// stillUnmoderated returns an error if a person has edited or retracted a message since it was read.
func (e *Engine) stillUnmoderated(ctx context.Context, t *tenant, r *room, p *wire.Payload) error {
	before := cluster.Position{Epoch: p.At.Epoch, Offset: p.At.Offset - 1}
	page, err := e.historyFor(t).Read(ctx, r.id, before, 1, t.settings(r.id.Room).Retention)
	if err != nil {
		return err
	}
	if len(page.Messages) == 0 || page.Messages[0].Offset != p.At.Offset || page.Messages[0].Amends != "" {
		return errNoHistory
	}
	now, err := wire.ParsePayload(page.Messages[0].Payload)
	if err == nil && moderated(&now) {
		err = errModerated
	}
	return err
}

// enqueueAmendment adds the amendment of a module to those that wait. An edit replaces a waiting edit of the same message. An edit
// does not replace a waiting retraction, nor a retraction a waiting edit.
func (e *Engine) enqueueAmendment(t *tenant, a *hook.Amendment) {
	key := "retract\x00"
	if a.Edit {
		key = "edit\x00"
	}
	e.enqueue(t, &t.amends, key+a.Room+"\x00"+a.ID, &task{amend: a})
}

// amendForModule retracts or edits a message for a module. After an error that may be temporary it tries again, until the time limit of
// a verb. The rules of the room see an edit with Caused set, so that no module amends a message because of it.
func (e *Engine) amendForModule(t *tenant, m *hook.Amendment) {
	ctx, cancel := e.completing(e.dying, t)
	defer cancel()
	a := amendment{room: m.Room, id: m.ID, edit: m.Edit, message: m.Message, by: system, module: m.Module, caused: true}
	effects, err := e.amend(ctx, t, a)
	for wait := storeRetry; a.mayRepeat(err) && waited(ctx, wait); wait = min(2*wait, longStoreRetry) {
		effects, err = e.amend(ctx, t, a)
	}
	if err != nil {
		e.stats.emitsDropped.Add(1)
		e.log.Warn("a module's amendment failed", "tenant", t.name, "module", m.Module, "room", m.Room, "message", m.ID, "edit", m.Edit, "error", err)
		return
	}
	e.log.Info("a module amended a message", "tenant", t.name, "module", m.Module, "room", m.Room, "message", m.ID, "edit", m.Edit)
	e.applyLater(ctx, t, e.applyNow(ctx, t, nil, effects, true), true)
}

// mayRepeat reports whether an amendment that failed with err may succeed a moment later. A second retraction has no effect;
// a second edit would be published again.
func (a *amendment) mayRepeat(err error) bool {
	if _, limited := errors.AsType[*LimitError](err); limited {
		return true
	}
	return err == errRoomBusy || errors.Is(err, cluster.ErrUnavailable) || !a.edit && errors.Is(err, cluster.ErrUnknown)
}

// waited waits for d, and returns true. If ctx ends first, it returns false.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// withoutAmendments returns the effects without the amendments, which it counts as dropped. The effects are of an event that an
// effect of a module has caused: with amendments, two modules could edit a message in turns without end.
func (e *Engine) withoutAmendments(effects []hook.Effect) (rest []hook.Effect) {
	for _, f := range effects {
		if f.Amend != nil {
			e.stats.emitsDropped.Add(1)
			continue
		}
		rest = append(rest, f)
	}
	return rest
}
