package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// A release continues the chain behind the entry that held the message, in the queue of the room. The node stores the payload and
// then publishes it by PublishOnce: if the node dies, another one repeats the release, and members receive one message. If the
// release is refused, the message waits for a decision again.

// HeldMessages returns a page of the held messages of a tenant; see [review.Store]. It ignores q.Kind. Errors:
// review.ErrNoStore, ErrNoTenant, those of the store.
func (e *Engine) HeldMessages(ctx context.Context, tenant string, q review.Query) (page []review.Item, next string, err error) {
	if _, err := e.reviewed(tenant); err != nil {
		return nil, "", err
	}
	q.Kind = review.Held
	return e.review.List(ctx, tenant, q)
}

// HeldMessage returns a held message. The error is review.ErrNone if there is none.
func (e *Engine) HeldMessage(ctx context.Context, tenant, id string) (review.Item, error) {
	if _, err := e.reviewed(tenant); err != nil {
		return review.Item{}, err
	}
	one, err := e.review.Get(ctx, tenant, id)
	if err == nil && one.Kind != review.Held {
		err = review.ErrNone
	}
	return one, err
}

// DecideHeld releases or rejects a held message for the person d.By, and returns the message after the decision. If another
// decision came first, the error is review.ErrDecided, and the message has that decision. If a rule, the room or a sanction of
// the author refuses the release, the error is a *VerbError, and the message waits for a decision again. After
// cluster.ErrUnavailable or ErrUnknown the decision stands, and a node carries it out when the cluster answers again.
func (e *Engine) DecideHeld(ctx context.Context, tenant, id string, d review.Decision) (review.Item, error) {
	t, err := e.reviewed(tenant)
	if err != nil {
		return review.Item{}, err
	}
	if len(d.Reason) > review.MaxReason {
		return review.Item{}, &VerbError{fmt.Sprintf("the reason has more than %d bytes", review.MaxReason)}
	}
	if _, err := e.HeldMessage(ctx, tenant, id); err != nil {
		return review.Item{}, err
	}
	return e.decideHeld(ctx, t, id, d)
}

// EraseReview removes the held messages of a user and the reports of the user or the user's messages, and removes the user from
// the reporters of other reports. It returns the number of items that it has removed or changed.
func (e *Engine) EraseReview(ctx context.Context, tenant, user string) (int, error) {
	t, err := e.reviewed(tenant)
	if err != nil {
		return 0, err
	}
	n, err := review.Erase(ctx, e.review, tenant, user, t.heldLimits())
	return n, unknownAsCluster(err)
}

func (e *Engine) reviewed(tenant string) (*tenant, error) {
	if e.review == nil {
		return nil, review.ErrNoStore
	}
	return e.tenant(tenant)
}

// decideHeld is DecideHeld for an item that is a held message.
func (e *Engine) decideHeld(ctx context.Context, t *tenant, id string, d review.Decision) (review.Item, error) {
	d.Node = e.Self()
	one, err := review.Begin(ctx, e.review, t.name, id, d, t.heldLimits())
	if err != nil {
		return one, unknownAsCluster(err)
	}
	return e.conclude(ctx, t, one)
}

// unknownAsCluster returns cluster.ErrUnknown, which callers of the engine know, for review.ErrUnknown, and other errors as they are.
func unknownAsCluster(err error) error {
	if errors.Is(err, review.ErrUnknown) {
		return cluster.ErrUnknown
	}
	return err
}

// conclude carries out the decision that this node has begun about a held message, and informs the author.
func (e *Engine) conclude(ctx context.Context, t *tenant, one review.Item) (review.Item, error) {
	ctx, cancel := e.completing(ctx, t)
	defer cancel()
	if d := one.Decision; d.Action == review.Release || d.Action == review.Expire && one.Release {
		return e.releaseHeld(ctx, t, one)
	}
	return e.endHeld(ctx, t, one)
}

// endHeld records that the decision was carried out, and informs the author.
func (e *Engine) endHeld(ctx context.Context, t *tenant, one review.Item) (review.Item, error) {
	ended, err := e.recordEnd(ctx, t, one)
	if err != nil {
		return one, unknownAsCluster(err)
	}
	outcome := ended.Outcome()
	e.stats.held.decided(outcome, ended.Wait())
	e.log.Info("held message decided", "tenant", t.name, "held", ended.ID, "room", ended.Said, "outcome", string(outcome), "by", ended.Decision.By)
	e.written(ctx, e.heldEvent(events.MessageDecided, &ended))
	e.informAuthor(ctx, t, &ended)
	return ended, nil
}

// recordEnd records that the decision was carried out, and returns the decided item. It removes a message that its author has
// withdrawn: otherwise an author could push the decisions of moderators out of those that are kept.
func (e *Engine) recordEnd(ctx context.Context, t *tenant, one review.Item) (review.Item, error) {
	if one.Decision.Action != review.Withdraw {
		return review.End(ctx, e.review, one, t.heldLimits())
	}
	removed, err := e.review.Remove(ctx, t.name, one.ID)
	if err == nil && !removed {
		err = review.ErrNone
	}
	one.State = review.Decided
	return one, err
}

// releaseHeld publishes a held message. It leaves the queue of the room before it applies the effects of the rules.
func (e *Engine) releaseHeld(ctx context.Context, t *tenant, one review.Item) (review.Item, error) {
	if err := e.needSanctions(ctx, t); err != nil {
		return one, err
	}
	defer e.dropSanctions(t)
	r := t.acquire(one.Said)
	defer t.release(r)
	one, effects, err := e.releaseInQueue(ctx, t, r, one)
	if err != nil {
		return one, err
	}
	e.applyReleased(ctx, t, &one, effects)
	return e.endHeld(ctx, t, one)
}

func (e *Engine) releaseInQueue(ctx context.Context, t *tenant, r *room, one review.Item) (review.Item, []hook.Effect, error) {
	if err := r.queue.enter(ctx); err != nil {
		one, err = e.refuseRelease(ctx, t, one, err)
		return one, nil, err
	}
	defer r.queue.leave()
	var effects []hook.Effect
	if one.Decision.To == "" {
		var err error
		if one, effects, err = e.prepareRelease(ctx, t, r, one); err != nil {
			return one, nil, err
		}
	}
	if one.Decision.Shadow != "" {
		return one, e.moderate(t, effects), e.releaseShadowed(ctx, t, &one)
	}
	to := cluster.RoomID{Tenant: t.name, Room: one.Decision.To}
	if _, err := e.cluster.Broker.PublishOnce(ctx, to, one.ID, one.Decision.Payload, t.settings(to.Room).Retention); err != nil {
		return one, nil, err // another try follows, because the message may have been published
	}
	e.stats.messages.Add(1)
	t.messages.Add(1)
	e.written(ctx, e.releasedEvent(&one))
	return one, e.moderate(t, effects), nil
}

// prepareRelease continues the chain. It stores the payload, and whether only the author receives it. It returns the stored item and
// the effects of the rules. The caller has its turn in the queue of the room.
func (e *Engine) prepareRelease(ctx context.Context, t *tenant, r *room, one review.Item) (review.Item, []hook.Effect, error) {
	author := decodeProfile(t.name, cluster.MemberRecord{ID: one.Connection, Profile: one.Profile})
	ev, v, err := e.askAgain(ctx, t, r, &one, author)
	if err != nil {
		one, err = e.refuseRelease(ctx, t, one, err)
		return one, nil, err
	}
	if v.Outcome == hook.Held {
		one, err = e.holdAgain(ctx, t, one, ev, v)
		return one, nil, err
	}
	settings := t.settings(ev.Room)
	if settings.Retention.Ephemeral {
		one.MessageID = ""
	} else {
		one.MessageID = e.releasedMessageID(one.MessageID, t.name, ev.Room, author)
	}
	p := payloadOf(ev, one.MessageID, "")
	p.Held = one.ID
	if settings.Users && ev.From == one.Connection {
		p.User = one.User
	}
	effects, d := v.Effects, *one.Decision
	if shadow := t.sanctions.list.Find(clientOf(author), moderation.Shadow, ev.Room); shadow != nil {
		effects, d.Shadow = unnoticed(author, effects), review.ShadowOf(shadow.User)
	}
	one.Decision = &d
	one, err = review.Prepare(ctx, e.review, one, ev.Room, wire.AppendPayload(nil, p), t.heldLimits())
	return one, effects, unknownAsCluster(err)
}

// askAgain runs the chain behind the place of a held message, and checks the room and the author's sanctions. An error refuses
// the release.
func (e *Engine) askAgain(ctx context.Context, t *tenant, r *room, one *review.Item, author *hook.Profile) (*hook.Event, *hook.Verdict, error) {
	if one.JSON && !t.settings(one.Said).JSON {
		return nil, nil, errNoJSON
	}
	if err := e.exists(ctx, cluster.RoomID{Tenant: t.name, Room: one.Said}); err != nil {
		return nil, nil, err
	}
	place := hook.Place(one.Place)
	ev := &hook.Event{Hook: hook.OnSayReceive, Tenant: t.name, Room: one.Room, Conn: author, JoinedAt: one.JoinedAt, Message: one.Message,
		From: one.From, Context: one.Context, SentAt: one.SentAt, Extra: one.Extra, MessageID: one.MessageID, After: &place, Waiter: &r.queue}
	v := e.decide(ctx, ev)
	switch v.Outcome {
	case hook.Dropped:
		return ev, &v, &VerbError{"dropped by " + v.Module}
	case hook.Denied:
		return ev, &v, &VerbError{fmt.Sprintf("denied by %s: %s", v.Module, refusal(&v))}
	case hook.Failed:
		return ev, &v, refusal(&v)
	}
	switch err := e.exists(ctx, cluster.RoomID{Tenant: t.name, Room: ev.Room}); { // again, because the chain may have taken long
	case err != nil && ev.Room != one.Said:
		return ev, &v, fmt.Errorf("rewritten to room %q: %w", ev.Room, err)
	case err != nil:
		return ev, &v, err
	}
	if len(ev.Message.Text) > maxMessage {
		return ev, &v, errTooLarge
	}
	for _, kind := range []moderation.Kind{moderation.Mute, moderation.Ban} {
		for _, room := range []string{one.Said, ev.Room} {
			if s := t.sanctions.list.Find(clientOf(author), kind, room); s != nil {
				return ev, &v, &VerbError{"the author is " + errSanction(s).Error()}
			}
		}
	}
	return ev, &v, nil
}

// holdAgain stores that a later rule holds a message that is being released: it waits for a decision again, under the same id.
func (e *Engine) holdAgain(ctx context.Context, t *tenant, one review.Item, ev *hook.Event, v *hook.Verdict) (review.Item, error) {
	t.setHeld(&one, ev, v, time.Now())
	why := outcomeText("held again by "+review.Outcome(v.Module), v.Reason)
	one, err := review.Reopen(ctx, e.review, one, shortened(why), t.heldLimits())
	if err != nil {
		return one, unknownAsCluster(err)
	}
	return one, &VerbError{why}
}

// retryExpired is the time after which a node retries the release of an expired message, if the failure is temporary.
const retryExpired = time.Minute

// refuseRelease records why a release is refused, and returns the error for the moderator. The message waits for a decision
// again. A message that has expired is rejected instead, unless the reason is temporary.
func (e *Engine) refuseRelease(ctx context.Context, t *tenant, one review.Item, why error) (review.Item, error) {
	e.stats.held.failed.Add(1)
	text := shortened(e.textFor(why))
	if one.Decision.Action == review.Expire {
		if !temporary(why) {
			one.Failure = text
			one, err := e.endHeld(ctx, t, one)
			if err != nil {
				return one, err
			}
			return one, &VerbError{text}
		}
		one.Until = time.Now().Add(retryExpired).UnixMilli()
	}
	one, err := review.Reopen(ctx, e.review, one, text, t.heldLimits())
	if err != nil {
		return one, unknownAsCluster(err)
	}
	if errors.Is(why, cluster.ErrNoRoom) || temporary(why) {
		return one, why
	}
	return one, &VerbError{text}
}

// temporary reports whether a release that failed with err may succeed a moment later.
func temporary(err error) bool {
	if _, ok := errors.AsType[*RetryError](err); ok {
		return true
	}
	return !IsRefusal(err) || errors.Is(err, errRoomBusy) || errors.Is(err, errMiddleware) || errors.Is(err, context.Canceled)
}

// applyReleased applies the effects of a release. It sets properties on the author's connection, if that is still open.
func (e *Engine) applyReleased(ctx context.Context, t *tenant, one *review.Item, effects []hook.Effect) {
	for _, f := range effects {
		if f.Property == nil {
			continue
		}
		if err := e.SetProperty(ctx, t.name, one.Connection, f.Property.Name, f.Property.Value); err != nil {
			e.log.Debug("a module's property was not set: the author of the message is gone", "connection", one.Connection, "tenant", t.name, "property", f.Property.Name, "error", err)
		}
	}
	e.applyAll(ctx, t, nil, effects)
}

// heldOutcome is the notice of an outcome for the author of a held message.
type heldOutcome struct {
	Context string         `json:"context"` // "moderation"
	Room    string         `json:"room"`
	Held    string         `json:"held"`
	Outcome review.Outcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
	ID      string         `json:"id,omitempty"` // of the released message
}

// informTime is the time limit for the notice of an outcome to reach the other nodes.
const informTime = time.Second

// informAuthor sends the outcome to the author's connections on all nodes, if the author asked for it.
func (e *Engine) informAuthor(ctx context.Context, t *tenant, one *review.Item) {
	if !one.Notify {
		return
	}
	h := forAuthor(one)
	value, err := json.Marshal(heldOutcome{"moderation", h.Room, h.Held, h.Outcome, h.Reason, h.ID})
	if err != nil {
		return // texts and a number can be encoded
	}
	ctx, cancel := context.WithTimeout(ctx, informTime)
	defer cancel()
	if _, err := e.onEveryNode(ctx, call{Do: callOutcome, Tenant: t.name, User: one.User, Connection: one.Connection, Value: value}); err != nil {
		e.log.Debug("the outcome of a held message did not reach its author on all nodes", "tenant", t.name, "held", one.ID, "error", err)
	}
}

// sendOutcome sends a notice of informAuthor to the author's connections on this node.
func (e *Engine) sendOutcome(t *tenant, c call) {
	var all []*Connection
	if c.User != "" {
		all = e.connectionsOfUser(t, c.User)
	} else if one := e.local(c.Connection); one != nil && one.tenant == t {
		all = append(all, one)
	}
	frame := wire.FrameOf(c.Value)
	for _, one := range all {
		if !one.actionHero && !e.sessions.isAway(one) {
			one.Send(frame)
		}
	}
}
