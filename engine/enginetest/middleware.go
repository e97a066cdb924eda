package enginetest

import (
	"context"

	"github.com/mootchat/moot/engine/hook"
)

// Middleware is a hook.Middleware that calls the functions in its fields. Hooks without a
// function allow everything. Change the fields only while no client is connected.
type Middleware struct {
	Hooks    map[hook.Hook]func(ctx context.Context, ev *hook.Event) hook.Verdict
	Say      func(ev *hook.Event, members []hook.Member) hook.Delivery
	Declared map[string]hook.ActionSpec
}

// On sets the function of a hook, and returns m.
func (m *Middleware) On(h hook.Hook, f func(ctx context.Context, ev *hook.Event) hook.Verdict) *Middleware {
	if m.Hooks == nil {
		m.Hooks = map[hook.Hook]func(context.Context, *hook.Event) hook.Verdict{}
	}
	m.Hooks[h] = f
	return m
}

// Asks implements hook.Middleware.
func (m *Middleware) Asks(h hook.Hook, _, _ string) bool {
	return m.Hooks[h] != nil || h == hook.Say && m.Say != nil
}

// Decide implements hook.Middleware.
func (m *Middleware) Decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	return m.Hooks[ev.Hook](ctx, ev)
}

// Deliver implements hook.Middleware.
func (m *Middleware) Deliver(_ context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	return m.Say(ev, members)
}

// Actions implements hook.Middleware.
func (m *Middleware) Actions(string) map[string]hook.ActionSpec { return m.Declared }
