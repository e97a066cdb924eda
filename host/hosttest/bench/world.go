package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
)

// Message is a message of 200 bytes.
var Message = strings.Repeat("hello there my friend, how are you? Fine. ", 5)[:200]

// patience is a timeout that does not fail on a busy machine.
const patience = time.Minute

// Start returns a host that runs the module for tenant "t". It is closed when the test ends.
func Start(t testing.TB, wasm []byte) *host.Host {
	t.Helper()
	h, err := host.New(host.Config{StartTimeout: patience, ChainTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := h.Load(context.Background(), host.Rules{
		Modules: []host.Module{{Name: "guest", Wasm: wasm}},
		// The benchmarks use more than a tenant's default share of the processors.
		Tenants: []host.Tenant{{Name: "t", CPU: 1, Chain: []host.Entry{{Module: "guest", Timeout: patience}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(r)
	return h
}

// SayEvent returns an event of onSayReceive with a text.
func SayEvent(text string) *hook.Event {
	return &hook.Event{Hook: hook.OnSayReceive, Tenant: "t", Room: "general", From: "c0", Context: "user",
		SentAt: 1800000000000, Sequence: 1, Message: wire.Message{Text: text}, Conn: profile(0)}
}

// OnSayReceive returns a function that has the host decide the event n times. Each decision must be allow.
func OnSayReceive(h *host.Host, ev *hook.Event) func(n int) {
	return func(n int) {
		for range n {
			if v := h.Decide(context.Background(), ev); v.Outcome != hook.Allowed {
				panic(fmt.Sprintf("%+v", v))
			}
		}
	}
}

// Say returns a function that has the host deliver the message to the members n times. No message may be rewritten.
func Say(h *host.Host, members []hook.Member) func(n int) {
	ev := SayEvent(Message)
	ev.Hook, ev.Conn, ev.Snapshot = hook.Say, nil, new(hook.MemberSnapshot)
	return func(n int) {
		for range n {
			d := h.Deliver(context.Background(), ev, members)
			if d.Answers != nil || d.For == nil && d.All != hook.AsIs {
				panic(fmt.Sprintf("%+v", d))
			}
			if d.Release != nil {
				d.Release()
			}
		}
	}
}

// Members returns n members whose locales alternate.
func Members(n int, locales ...string) []hook.Member {
	members := make([]hook.Member, n)
	for i := range members {
		p := profile(i)
		p.Locale = locales[i%len(locales)]
		members[i] = &member{p, 1800000000000}
	}
	return members
}

type member struct {
	profile  *hook.Profile
	joinedAt int64
}

func (m *member) Profile() *hook.Profile { return m.profile }
func (m *member) JoinedAt() int64        { return m.joinedAt }

func profile(i int) *hook.Profile {
	return &hook.Profile{Connection: hook.Connection{ID: fmt.Sprintf("c%d", i), Fingerprint: "0123456789abcdef", User: "alice", Transport: "websocket",
		RemoteIP: "10.0.0.1", Tenant: "t", Locale: "en", ConnectedAt: 1700000000000}}
}
