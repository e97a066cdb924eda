package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// A rule may hold a message of a client. The message is stored, and its sender receives the id under which it is held. A
// moderator then releases or rejects it, its author withdraws it, or it expires. See released.go for the release.

// heldLimits returns the current limits of the tenant's held messages.
func (t *tenant) heldLimits() review.Limits { return t.cfg().Held }

// hold stores a message that the chain holds, and returns the id under which it is held. said is the room in which the author
// said it, and id the message id that it gets if it is released. Only what a client says can be held; other messages are denied.
func (e *Engine) hold(ctx context.Context, t *tenant, s *outgoing, ev *hook.Event, v *hook.Verdict, said, id string) (held string, err error) {
	if e.review == nil || !s.mayBeHeld || v.Hold == nil {
		return "", refusal(v)
	}
	p, now := ev.Conn, time.Now()
	one := review.Item{ID: review.NewID(now), Tenant: t.name, At: now.UnixMilli(), User: p.User, Connection: p.ID, Address: p.RemoteIP,
		Said: said, MessageID: id, JSON: s.message.JSON, JoinedAt: ev.JoinedAt, Profile: encodeProfile(p), Notify: s.conn.isInformed(said)}
	if s.key != "" {
		one.Unique = review.UniqueOf(review.Held, p.ID, s.key)
	}
	t.setHeld(&one, ev, v, now)
	stored, added, err := review.Hold(ctx, e.review, one, t.heldLimits())
	switch {
	case errors.Is(err, review.ErrFull), errors.Is(err, review.ErrFullBytes), errors.Is(err, review.ErrOwnerFull):
		e.stats.held.refused.Add(1)
		return "", &VerbError{err.Error()}
	case errors.Is(err, review.ErrUnknown):
		return "", fmt.Errorf("hold a message: %w", cluster.ErrUnknown)
	case err != nil:
		return "", fmt.Errorf("hold a message: %w", err)
	}
	if added {
		e.stats.held.held.Add(1)
		e.written(ctx, e.heldEvent(events.MessageHeld, &stored))
	}
	return stored.ID, nil
}

// setHeld sets the fields of a held message that depend on the chain: the message as the rules have rewritten it, the place of
// the rule that holds it, and its expiry.
func (t *tenant) setHeld(one *review.Item, ev *hook.Event, v *hook.Verdict, now time.Time) {
	one.Room, one.Message, one.From, one.Context, one.SentAt, one.Extra = ev.Room, ev.Message, ev.From, ev.Context, ev.SentAt, ev.Extra
	one.Reason, one.Rule, one.Place, one.Release = shortened(v.Reason), v.Module, review.Place(v.Hold.At), v.Hold.Release
	one.Until = now.Add(cmp.Or(v.Hold.TTL, t.cfg().Held.HeldFor)).UnixMilli()
}

// shortened returns a reason, cut to review.MaxReason bytes at the boundary of a character.
func shortened(reason string) string {
	if len(reason) > review.MaxReason {
		reason = reason[:review.MaxReason]
		valid, _ := wire.ValidPrefix([]byte(reason))
		reason = reason[:valid]
	}
	return reason
}

// isInformed reports whether the client asked for the outcomes of its held messages when it joined the room.
func (c *Connection) isInformed(room string) bool {
	m := c.membership(room)
	return m != nil && m.informed
}

// answerAgain returns the answer to a say with the key of a held message: the id of the held message until it is decided, then
// the message id if it was released, and otherwise an error with the outcome.
func (c *Connection) answerAgain(ctx context.Context, a accepted) (accepted, error) {
	if c.engine.review == nil { // the message was held on a node with a store, from which the session was resumed
		return a, nil
	}
	one, err := c.engine.review.Get(ctx, c.tenant.name, a.held)
	switch outcome := one.Outcome(); {
	case errors.Is(err, review.ErrNone):
		return a, errHeldRemoved
	case err != nil:
		return a, err
	case outcome == review.Released:
		return accepted{id: one.MessageID}, nil
	case outcome != review.Waiting:
		return a, &VerbError{outcomeText(outcome, one.Decision.Reason)}
	}
	return a, nil
}

func outcomeText(o review.Outcome, reason string) string {
	if reason == "" {
		return string(o)
	}
	return string(o) + ": " + reason
}

// heldMessage is a held message as its author receives it.
type heldMessage struct {
	Held    string          `json:"held"`
	Room    string          `json:"room"`
	Message json.RawMessage `json:"message"`
	SentAt  int64           `json:"sentAt"`
	HeldAt  int64           `json:"heldAt"`
	Until   int64           `json:"until,omitempty"`
	Outcome review.Outcome  `json:"outcome"`
	Reason  string          `json:"reason,omitempty"` // of the outcome
	ID      string          `json:"id,omitempty"`     // of the released message
}

// forAuthor returns a held message as its author receives it.
func forAuthor(one *review.Item) heldMessage {
	h := heldMessage{Held: one.ID, Room: one.Said, Message: one.Message.Value(), SentAt: one.SentAt, HeldAt: one.At, Until: one.Until, Outcome: one.Outcome()}
	if one.State == review.Decided {
		h.Reason = one.Decision.Reason
	}
	if h.Outcome == review.Released {
		h.ID = one.MessageID
	}
	return h
}

var (
	errNoHeld      = &VerbError{"no such held message"}
	errHeldRemoved = &VerbError{"the message was held, and then withdrawn or removed"}
	errDeciding    = &VerbError{"a moderator has decided about the message: the outcome follows"}
)

// ownHeld returns a held message of the connection or its user.
func (c *Connection) ownHeld(ctx context.Context, id string) (review.Item, error) {
	if c.engine.review == nil || id == "" {
		return review.Item{}, errNoHeld
	}
	one, err := c.engine.review.Get(ctx, c.tenant.name, id)
	if errors.Is(err, review.ErrNone) || err == nil && (one.Kind != review.Held || one.Subject() != subjectOf(c.profile.Load())) {
		return one, errNoHeld
	}
	return one, err
}

// subjectOf returns the [review.Item.Subject] of the held messages of a connection.
func subjectOf(p *hook.Profile) string {
	return (&review.Item{User: p.User, Connection: p.ID}).Subject()
}

// heldPage and maxHeldPage are the default and the largest number of held messages in an answer.
const (
	heldPage    = 50
	maxHeldPage = 100
)

// heldView lists the messages of the author that wait for a decision, or returns the held message with the id of the request.
func (c *Connection) heldView(ctx context.Context, r *wire.Request) (result, error) {
	if r.Held != "" {
		one, err := c.ownHeld(ctx, r.Held)
		if err != nil {
			return result{}, err
		}
		data, err := json.Marshal(forAuthor(&one))
		return result{data: data}, err
	}
	var view struct {
		Held   []heldMessage `json:"held"`
		Cursor string        `json:"cursor,omitempty"`
	}
	view.Held = []heldMessage{}
	if c.engine.review != nil {
		if err := c.awaitReader(ctx); err != nil {
			return result{}, err
		}
		limit := min(cmp.Or(r.Limit, heldPage), maxHeldPage)
		page, next, err := c.engine.review.List(ctx, c.tenant.name, review.Query{Kind: review.Held, Subject: subjectOf(c.profile.Load()), Cursor: r.Cursor, Limit: limit})
		if err != nil {
			return result{}, err
		}
		for i := range page {
			view.Held = append(view.Held, forAuthor(&page[i]))
		}
		view.Cursor = next
	}
	data, err := json.Marshal(view)
	c.chargePage(len(data))
	return result{data: data}, err
}

// heldWithdraw withdraws a held message of the author that waits for a decision.
func (c *Connection) heldWithdraw(ctx context.Context, r *wire.Request) (result, error) {
	one, err := c.ownHeld(ctx, r.Held)
	if err != nil {
		return result{}, err
	}
	one, err = c.engine.decideHeld(ctx, c.tenant, one.ID, review.Decision{Action: review.Withdraw})
	switch {
	case errors.Is(err, review.ErrDecided) && one.State == review.Deciding:
		return result{}, errDeciding
	case errors.Is(err, review.ErrDecided):
		return result{}, &VerbError{"the message is " + string(one.Outcome()) + " already"}
	}
	return result{data: done}, err
}
