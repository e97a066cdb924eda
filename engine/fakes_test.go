package engine

import (
	"context"

	"github.com/mootchat/moot/engine/fanout/fanouttest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// FakeSink is a socket whose kernel buffer the test controls.
type FakeSink struct{ *fanouttest.Sink }

func NewFakeSink(d wire.Dialect) *FakeSink { return &FakeSink{fanouttest.NewSink(d)} }

// Farewell is "bye REASON", framed.
func (s *FakeSink) Farewell(c Close) []byte {
	if c == (Close{}) {
		return nil
	}
	return s.Bytes(wire.FrameOf([]byte("bye " + c.Error())))
}

// FakeMiddleware answers by its functions; a hook without one allows. Set them
// before the engine runs.
type FakeMiddleware struct {
	Hooks    map[hook.Hook]func(ctx context.Context, ev *hook.Event) hook.Verdict
	Say      func(ev *hook.Event, members []hook.Member) hook.Delivery
	Declared map[string]hook.ActionSpec
}

func (m *FakeMiddleware) Asks(h hook.Hook, _, _ string) bool {
	return m.Hooks[h] != nil || h == hook.Say && m.Say != nil
}

func (m *FakeMiddleware) Decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	return m.Hooks[ev.Hook](ctx, ev)
}

func (m *FakeMiddleware) Deliver(_ context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	return m.Say(ev, members)
}

func (m *FakeMiddleware) Actions(string) map[string]hook.ActionSpec { return m.Declared }
