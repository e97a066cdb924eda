package hosttest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// Probe calls a module at each of its hooks with many kinds of events: with all fields and with none, with long, empty
// and non-ASCII texts, with all kinds of JSON, without a connection, and with one receiver or thousands. Any valid
// answer passes. A trap, a missed deadline or an invalid answer fails. Config must have Wasm.
func Probe(ctx context.Context, cfg trial.Config) (*Report, error) {
	m, err := trial.Load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	for hook := abi.Connect; hook <= abi.Hooks; hook++ {
		if !slices.Contains(m.Inspection.Hooks, hook) {
			r.add("hook", hook.String(), Unused, "")
			continue
		}
		events := probes(hook, m.Inspection.Manifest.Actions)
		if err := ask(ctx, m, events); err != nil {
			r.add("hook", hook.String(), Failed, err.Error())
			continue
		}
		r.add("hook", hook.String(), Passed, fmt.Sprintf("%d events", len(events)))
	}
	return r, m.Close()
}

func ask(ctx context.Context, m *trial.Module, events []trial.Event) error {
	for i := range events {
		a, _, err := m.Ask(ctx, &events[i])
		if err != nil {
			return err
		}
		if a.Verdict == "failed" && a.Kind != host.Outside.String() { // no service answers its asks
			return fmt.Errorf("event %d, %s: %s: %s", i, brief(&events[i]), a.Kind, a.Failure)
		}
	}
	return nil
}

func brief(e *trial.Event) string {
	if e.Message != nil {
		return fmt.Sprintf("message %.40q to %d receivers", *e.Message, len(e.Receivers))
	}
	return fmt.Sprintf("%.40q %.40q", e.JSON, e.Params)
}

var texts = []string{"", "hello", "a\x00b", "grüße, 世界 🙂", "\"\\\n\t{}", "!", strings.Repeat("long ", 13_000)}

var values = []string{`null`, `true`, `-1.5e3`, `"text \"quoted\" \u00e9"`, `[]`, `{}`, `[1,[2,{"a":null}]]`, `{"text":"hello","n":1}`}

// someone is a connection with all fields, nobody one without any.
var (
	someone = trial.Connection{ID: "4f2a", Fingerprint: "a9c1", User: "ann", Transport: "websocket", RemoteIP: "203.0.113.7",
		Tenant: "default", Locale: "en-GB", ConnectedAt: 1_699_999_995_000, JoinedAt: 1_699_999_996_000,
		Properties: map[string]trial.JSON{"role": trial.JSON(`"member"`), "n": trial.JSON(`1`), "o": trial.JSON(`{"a":[1]}`)}}
	other  = trial.Connection{ID: "émile", Transport: "socket", RemoteIP: "2001:db8::1", Locale: "de"}
	nobody = trial.Connection{}
)

// probes returns the events for a hook.
func probes(hook abi.Hook, actions []abi.ActionSpec) (list []trial.Event) {
	add := func(e trial.Event) {
		e.Hook, e.Tenant = hook.String(), "default"
		list = append(list, e)
	}
	switch hook {
	case abi.Connect, abi.Disconnect:
		for _, c := range []trial.Connection{someone, other, nobody} {
			add(trial.Event{Connection: &c})
		}
	case abi.Join, abi.Leave:
		causes := map[abi.Hook][]string{abi.Join: {"", "rejoined"}, abi.Leave: {"roomLeave", "destroyed", "disconnect", "removed", "node_lost"}}
		for _, cause := range causes[hook] {
			for _, c := range []trial.Connection{someone, other, nobody} {
				add(trial.Event{Room: "lobby", Cause: cause, Connection: &c})
			}
		}
	case abi.OnSayReceive:
		for _, e := range messages() {
			for _, c := range []*trial.Connection{&someone, &nobody, nil} {
				e.Connection = c
				add(e)
			}
		}
	case abi.Say:
		for _, e := range messages() {
			for _, n := range []int{1, 3} {
				e.Receivers = receivers(n)
				add(e)
			}
		}
		for _, n := range []int{abi.MaxReceivers, abi.MaxReceivers + 1, 3000} {
			hello := "hello"
			add(trial.Event{Room: "lobby", From: "1", Message: &hello, Receivers: receivers(n)})
		}
	case abi.Action:
		for _, a := range actions {
			for _, params := range []string{"", "{}", `{"token":"","room":"lobby","n":1}`, `{"deep":{"a":[1,2]},"text":"grüße"}`} {
				e := trial.Event{Action: a.Name, Connection: &someone}
				if params != "" {
					e.Params = trial.JSON(params)
				}
				add(e)
			}
		}
	}
	return list
}

func messages() (list []trial.Event) {
	e := trial.Event{Room: "lobby", From: "4f2a", Context: "user", SentAt: 1_700_000_000_000, Sequence: 42}
	for _, text := range texts {
		e.Message = &text
		list = append(list, e)
	}
	e.Message = nil
	for _, value := range values {
		e.JSON = trial.JSON(value)
		list = append(list, e)
	}
	return list
}

func receivers(n int) []trial.Connection {
	kinds := []trial.Connection{someone, other, nobody}
	list := make([]trial.Connection, n)
	for i := range list {
		list[i] = kinds[i%len(kinds)]
	}
	return list
}
