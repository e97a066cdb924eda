package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/review"
)

// VerbError is the error of a verb that failed. The client receives Text.
type VerbError struct{ Text string }

func (e *VerbError) Error() string { return e.Text }

// RetryError is the error of a verb that may succeed after Wait. It is a [VerbError] too.
// The text of a failed rule is "try again", without the name of the module and the cause.
type RetryError struct {
	Wait time.Duration
	Text string // "": "try again"
}

func (e *RetryError) Error() string { return cmp.Or(e.Text, errRetry.Text) }

// Unwrap returns a VerbError with the text.
func (e *RetryError) Unwrap() error {
	if e.Text == "" {
		return errRetry
	}
	return &VerbError{e.Text}
}

// DeniedError is the error of a verb that a module denied with a number of its own, which the
// client receives as code. It is a [VerbError] too.
type DeniedError struct {
	VerbError
	Code uint32
}

// Unwrap returns the VerbError.
func (e *DeniedError) Unwrap() error { return &e.VerbError }

var (
	errRetry      = &VerbError{"try again"}
	errRoomBusy   = &VerbError{"room busy"}
	errMiddleware = &VerbError{"middleware error"}
	errTooLarge   = &VerbError{"message too large"}
	errTooDeep    = &VerbError{"message is nested deeper than 32 levels"}
	errNoJSON     = &VerbError{"message must be a text: this room takes no JSON messages (rooms.settings: json)"}
	errGone       = &VerbError{"connection closed"}
)

// textFor returns the text of err for the client. It logs an unknown error; the client then
// receives "internal error".
func (e *Engine) textFor(err error) string {
	if verb := (*VerbError)(nil); errors.As(err, &verb) {
		return verb.Text
	}
	if errors.Is(err, context.Canceled) && !errors.Is(err, cluster.ErrUnknown) {
		return errGone.Text // the client has gone, or the node stops
	}
	for _, known := range []error{cluster.ErrNoRoom, cluster.ErrRoomExists, cluster.ErrUnavailable, cluster.ErrUnknown, cluster.ErrNoNode, cluster.ErrNoSession, cluster.ErrCursor, review.ErrUnavailable} {
		if errors.Is(err, known) {
			switch known {
			case cluster.ErrUnavailable, cluster.ErrUnknown:
				e.log.Warn("cluster operation failed", "error", err)
			case review.ErrUnavailable:
				e.log.Error("the store of held messages and reports failed", "error", err)
			}
			return known.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errTime.Text
	}
	e.log.Error("verb failed", "error", err)
	return "internal error"
}

// allowAll is the middleware of an engine that is configured without one.
type allowAll struct{}

func (allowAll) Asks(hook.Hook, string, string) bool { return false }

func (allowAll) Decide(context.Context, *hook.Event) hook.Verdict { return hook.Verdict{} }

func (allowAll) Deliver(context.Context, *hook.Event, []hook.Member) hook.Delivery {
	return hook.Delivery{All: hook.AsIs}
}

func (allowAll) Actions(string) map[string]hook.ActionSpec { return nil }

// refusal returns the error of a verdict that does not allow the event; nil for one that
// does.
func refusal(v *hook.Verdict) error {
	switch v.Outcome {
	case hook.Allowed:
		return nil
	case hook.Failed:
		if v.RetryAfter > 0 {
			return &RetryError{Wait: v.RetryAfter}
		}
		return errMiddleware
	case hook.Dropped, hook.Held: // the client does not receive the reason of a hold, which is for moderators
		return &VerbError{"denied"}
	}
	denied := VerbError{cmp.Or(v.Reason, "denied")}
	if v.Code != 0 {
		return &DeniedError{denied, v.Code}
	}
	return &denied
}

// applyNow applies the effects that must precede the client's answer: properties, the user, rooms
// to create or destroy, sanctions and removals. It returns the other effects. If c is nil, it ignores properties and the user.
// If caused is true, an effect of a module caused the event: room effects are then dropped
// and counted.
//
// The caller is not in a room's queue, and no join or leave of c is running: destroying a
// room sends a message through the room's queue and removes its members.
func (e *Engine) applyNow(ctx context.Context, t *tenant, c *Connection, effects []hook.Effect, caused bool) (later []hook.Effect) {
	if effects = e.moderate(t, effects); len(effects) == 0 {
		return nil
	}
	ctx, cancel := e.completing(ctx, t)
	defer cancel()
	for _, f := range effects {
		switch {
		case f.Property != nil:
			if c == nil {
				continue
			}
			if err := c.set(*f.Property); err != nil {
				e.log.Warn("a module's property was not set", "connection", c.ID(), "tenant", t.name, "property", f.Property.Name, "error", err)
			}
		case f.Identity != nil:
			if c == nil {
				continue
			}
			if err := e.setUser(ctx, c, f.Identity.User); err != nil {
				e.log.Warn("a module's user was not set", "connection", c.ID(), "tenant", t.name, "module", f.Identity.Module, "user", f.Identity.User, "error", err)
			}
		case f.Room != nil && caused:
			e.stats.emitsDropped.Add(1)
		case f.Room != nil:
			if err := e.changeRoom(ctx, t, *f.Room); err != nil {
				e.log.Warn("a module's room change failed", "tenant", t.name, "room", f.Room.Name, "error", err)
			}
		default:
			later = append(later, f)
		}
	}
	return later
}

func (e *Engine) changeRoom(ctx context.Context, t *tenant, f hook.RoomEffect) error {
	if f.Destroy {
		return e.destroyRoom(ctx, t, f.Name, true)
	}
	return e.createRoom(ctx, t, f.Name)
}

// applyLater sends the messages that modules emit. If caused is true, an emit caused the
// event: its own emits are then dropped and counted. The caller waits for the queues of the
// rooms. The effects continue after ctx has ended.
func (e *Engine) applyLater(ctx context.Context, t *tenant, effects []hook.Effect, caused bool) {
	if len(effects) == 0 {
		return
	}
	ctx, cancel := e.completing(ctx, t)
	defer cancel()
	for _, f := range effects {
		m := f.Emit
		if m == nil {
			continue
		}
		if caused {
			e.stats.emitsDropped.Add(1)
			continue
		}
		if err := e.emit(ctx, t, m); err != nil {
			e.stats.emitsDropped.Add(1)
			e.log.Debug("emit dropped", "tenant", t.name, "room", m.Room, "connection", m.Connection, "user", m.User, "error", err)
		}
	}
}

// applyAll applies the effects of an event for which no client waits for an answer.
func (e *Engine) applyAll(ctx context.Context, t *tenant, c *Connection, effects []hook.Effect) {
	e.applyLater(ctx, t, e.applyNow(ctx, t, c, effects, false), false)
}

func (e *Engine) emit(ctx context.Context, t *tenant, m *hook.Emit) error {
	if m.Connection == "" { // a message for a user goes to all nodes, like one for a room
		if err := t.mayPublish(); err != nil {
			return err
		}
	}
	if m.Room != "" {
		_, err := e.send(ctx, t, m.Room, outgoing{from: system, message: m.Message, caused: true})
		return err
	}
	value, err := json.Marshal(m.Message.Text)
	if m.Message.JSON {
		value = []byte(m.Message.Text)
	}
	if err != nil {
		return err
	}
	if m.User != "" {
		reached, err := e.onUser(ctx, t.name, call{Do: callSendUser, User: m.User, Value: value})
		if err == nil && len(reached.Lost) > 0 {
			err = fmt.Errorf("nodes did not answer: %s", strings.Join(reached.Lost, ", "))
		}
		return err
	}
	return e.onConnection(ctx, t.name, m.Connection, call{Do: callSend, Value: value})
}
