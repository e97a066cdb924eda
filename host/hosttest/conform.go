package hosttest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// Conform tests the conformance guest of an SDK against the whole contract: the golden frames, all hooks, fields,
// verdicts, errors and host functions. CONFORMANCE.md describes such guests. Conform returns an error if it cannot test
// the guest.
func Conform(ctx context.Context, wasm []byte, cache host.Cache) (*Report, error) {
	c := &conformance{ctx: ctx, cfg: trial.Config{Name: "conformance", Wasm: wasm, Cache: cache, Timeout: time.Minute, // for slow machines
		Memory: 64 << 20, Now: time.UnixMilli(noon), Rooms: map[string]int{"lobby": 3}, KV: map[string]string{"long": strings.Repeat("x", 5000), "gone": ""}}}
	var err error
	if c.module, err = trial.Load(ctx, c.cfg); err != nil {
		return nil, err
	}
	defer c.module.Close()
	c.report, err = Golden(ctx, wasm)
	if err != nil {
		return nil, err
	}
	c.report.check("manifest", "is complete", c.manifest())
	c.hooks()
	c.verdicts()
	c.say()
	c.hostFunctions()
	c.failures()
	c.asks()
	c.report.check("config", "a module refuses it with a reason", c.refuses())
	return c.report, nil
}

// IsConformance reports whether a module is a conformance guest.
func IsConformance(m *abi.Manifest) bool { return m.Name == "conformance" }

const noon = 1_700_000_000_000 // ms since 1970

type conformance struct {
	ctx    context.Context
	cfg    trial.Config
	module *trial.Module
	report *Report
}

var manifest = abi.Manifest{
	Name: "conformance", Version: "1.0.0",
	Hooks: []string{"connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"},
	Reads: []string{"room", "tenant", "from", "message", "context", "cause", "action", "params", "messageId", "edits", "id", "fingerprint", "user", "transport",
		"remoteIP", "locale", "connectedAt", "joinedAt", "properties.do", "properties.role", "properties.strikes", "properties.mood"},
	Capabilities: []string{"kv", "rate", "emit", "rooms", "properties:mood", "sanctions", "members", "identity", "amend"},
	Asks:         []string{"one", "two"},
	Actions: []abi.ActionSpec{
		{Name: "login", Description: "logs in", Inputs: map[string]abi.InputSpec{"token": {Required: true, Description: "who"}}},
		{Name: "roll", Speech: true},
	},
}

func (c *conformance) manifest() error {
	got, want := c.module.Inspection.Manifest, manifest
	for _, m := range []*abi.Manifest{&got, &want} { // order does not matter
		m.Hooks, m.Reads, m.Capabilities = sorted(m.Hooks), sorted(m.Reads), sorted(m.Capabilities)
		m.Actions = slices.Clone(m.Actions)
		for i := range m.Actions {
			if len(m.Actions[i].Inputs) == 0 {
				m.Actions[i].Inputs = nil
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		return fmt.Errorf("it is %s, want %s", g, w)
	}
	return nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// withScript returns a connection whose property do is a script.
func withScript(script string) *trial.Connection {
	c := someone
	c.Properties = map[string]trial.JSON{"do": trial.JSON(`"` + script + `"`), "role": trial.JSON(`"member"`)}
	return &c
}

// event returns an event of a hook with all fields and a script.
func event(hook abi.Hook, script string) *trial.Event {
	e := &trial.Event{Hook: hook.String(), Tenant: "default", SentAt: noon, Sequence: 7}
	switch hook {
	case abi.Connect, abi.Disconnect:
	case abi.Join, abi.Leave:
		e.Room, e.Cause = "lobby", map[abi.Hook]string{abi.Join: "rejoined", abi.Leave: "removed"}[hook]
	case abi.Action:
		e.Action, e.Params = "login", trial.JSON(`{"token":"t"}`)
	default:
		hello := "hello"
		e.Room, e.From, e.Context, e.Message = "lobby", "4f2a", "user", &hello
		e.MessageID, e.Edits = "m1", "m1"
	}
	if hook == abi.Say {
		e.Message, e.Receivers = &script, []trial.Connection{someone}
		return e
	}
	e.Connection = withScript(script)
	return e
}

func (c *conformance) call(e *trial.Event) (trial.Answer, error) {
	a, _, err := c.module.Ask(c.ctx, e)
	return a, err
}

// reportIn returns the report in an answer.
func reportIn(hook abi.Hook, a *trial.Answer) (string, error) {
	if hook == abi.Say && len(a.Receivers) == 1 {
		a = &a.Receivers[0]
	}
	switch {
	case a.Verdict == "failed":
		return "", fmt.Errorf("it failed: %s: %s", a.Kind, a.Failure)
	case hook == abi.Action:
		return reportInReply(string(a.Reply)), nil
	case a.Message != nil:
		return *a.Message, nil
	}
	return a.Reason, nil
}

func reportInReply(reply string) string {
	var r struct{ Said string }
	if json.Unmarshal([]byte(reply), &r) != nil {
		return ""
	}
	return r.Said
}

// hooks checks the fields that the guest reports at each hook.
func (c *conformance) hooks() {
	for hook := abi.Connect; hook <= abi.Hooks; hook++ {
		e := event(hook, "tell")
		a, err := c.call(e)
		if err == nil {
			var got string
			if got, err = reportIn(hook, &a); err == nil {
				err = compareLines(got, eventLines(hook, e))
			}
		}
		c.report.check("hook", hook.String()+" reports all fields", err)
		e = event(hook, "allow")
		e.Connection, e.Room, e.SentAt, e.Sequence, e.Message, e.MessageID, e.Edits = nil, "", 0, 0, nil, "", ""
		if hook == abi.Say {
			e.Receivers = []trial.Connection{nobody}
		}
		a, err = c.call(e)
		if err == nil && a.Verdict != "allow" && (len(a.Receivers) == 0 || a.Receivers[0].Verdict != "allow") {
			err = fmt.Errorf("it answers %s %s %s", a.Verdict, a.Kind, a.Failure)
		}
		c.report.check("hook", hook.String()+" without any field", err)
	}
}

func eventLines(hook abi.Hook, e *trial.Event) []string {
	l := lines{fmt.Sprint("hook=", int(hook))}
	l.field("room", e.Room).field("tenant", e.Tenant).field("from", e.From)
	if e.Message != nil {
		l.field("message", *e.Message)
	}
	l.field("context", e.Context).field("cause", e.Cause).field("action", e.Action).field("params", string(e.Params))
	l.field("messageId", e.MessageID).field("edits", e.Edits)
	l.number("sentAt", uint64(e.SentAt)).number("sequence", e.Sequence)
	n := e.Connection
	if hook == abi.Say {
		n = &e.Receivers[0]
	}
	l.field("c.id", n.ID).field("c.fingerprint", n.Fingerprint).field("c.user", n.User).field("c.transport", n.Transport)
	l.field("c.remoteIP", n.RemoteIP).field("c.tenant", n.Tenant).field("c.locale", n.Locale)
	l.number("c.connectedAt", uint64(n.ConnectedAt)).number("c.joinedAt", uint64(n.JoinedAt))
	return append(l, "c.role="+string(n.Properties["role"]))
}

// verdicts makes the guest answer with each verdict.
func (c *conformance) verdicts() {
	hello, js := "HELLO, 世界", trial.JSON(`{"n":1}`)
	for _, v := range []struct {
		name, script string
		hook         abi.Hook
		want         trial.Answer
	}{
		{"allow", "allow", abi.Join, trial.Answer{Verdict: "allow"}},
		{"allow, and end the chain", "end", abi.OnSayReceive, trial.Answer{Verdict: "allowEnd"}},
		{"deny", "deny 0 " + text("members only"), abi.Join, trial.Answer{Verdict: "deny", Reason: "members only"}},
		{"deny with a code", "deny 429 " + text("slow down"), abi.OnSayReceive, trial.Answer{Verdict: "deny", Reason: "slow down", Code: 429}},
		{"deny with the longest reason", "deny 0 " + text(strings.Repeat("r", abi.MaxReason)), abi.Connect, trial.Answer{Verdict: "deny", Reason: strings.Repeat("r", abi.MaxReason)}},
		{"drop", "drop", abi.OnSayReceive, trial.Answer{Verdict: "drop"}},
		{"hold", "hold 60000 " + text("a new user"), abi.OnSayReceive, trial.Answer{Verdict: "hold", Reason: "a new user", TTL: 60000}},
		{"hold for the time of the tenant", "hold 0 ", abi.OnSayReceive, trial.Answer{Verdict: "hold"}},
		{"hold for the longest time", fmt.Sprintf("hold %d ", int64(abi.MaxHold)+1), abi.OnSayReceive, trial.Answer{Verdict: "hold", TTL: abi.MaxHold}},
		{"rewrite to text", "text " + text(hello), abi.OnSayReceive, trial.Answer{Verdict: "rewrite", Message: &hello}},
		{"rewrite to JSON", "json " + text(string(js)), abi.OnSayReceive, trial.Answer{Verdict: "rewrite", JSON: js}},
		{"rewrite to nothing", "text ", abi.OnSayReceive, trial.Answer{Verdict: "rewrite", Message: new(string)}},
		{"rewrite everything", "text " + text(hello) + ";extra " + text(`{"a":1}`) + ";room " + text("other") + ";from " + text("7") + ";sentAt 9", abi.OnSayReceive,
			trial.Answer{Verdict: "rewrite", Message: &hello, Extra: trial.JSON(`{"a":1}`), Room: "other", From: "7", SentAt: 9}},
		{"reply", "reply " + text(`{"ok":true}`), abi.Action, trial.Answer{Verdict: "allow", Reply: trial.JSON(`{"ok":true}`)}},
		{"deny an action", "deny 0 " + text("unknown token"), abi.Action, trial.Answer{Verdict: "deny", Reason: "unknown token"}},
		{"deny to disconnect", "deny 1 " + text("no"), abi.Disconnect, trial.Answer{Verdict: "deny", Reason: "no", Code: 1}},
	} {
		got, err := c.call(event(v.hook, v.script))
		if err == nil && !got.Same(&v.want) {
			err = fmt.Errorf("it answers %s, want %s", jsonOf(got), jsonOf(v.want))
		}
		c.report.check("verdict", v.name, err)
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// say checks events with many receivers.
func (c *conformance) say() {
	greet := "Guten Tag"
	rewrite := trial.Answer{Verdict: "rewrite", Message: &greet}
	allow, drop := trial.Answer{Verdict: "allow"}, trial.Answer{Verdict: "drop"}
	id := func(id, script string) string { return "id " + text(id) + ";" + script + ";" }
	to := func(list ...trial.Answer) []trial.Answer { return list }
	for _, s := range []struct {
		name, script string
		ids          []string
		want         []trial.Answer
	}{
		{"the same to all", "text " + text(greet), []string{"a", "b", "c"}, to(rewrite, rewrite, rewrite)},
		{"to no receiver", "drop", []string{"a", "b"}, to(drop, drop)},
		{"denied, which drops", "deny 0 " + text("no"), []string{"a", "b"}, to(drop, drop)},
		{"unchanged", "allow", []string{"a", "b"}, to(allow, allow)},
		{"to some", id("a", "drop") + id("c", "deny 0 "), []string{"a", "b", "c"}, to(drop, allow, drop)},
		{"a variant that is shared", id("a", "text "+text(greet)) + id("c", "text "+text(greet)), []string{"a", "b", "c"}, to(rewrite, allow, rewrite)},
	} {
		e := event(abi.Say, s.script)
		e.Receivers = nil
		for _, id := range s.ids {
			e.Receivers = append(e.Receivers, trial.Connection{ID: id})
		}
		got, err := c.call(e)
		if err == nil && !slices.EqualFunc(got.Receivers, s.want, func(a, b trial.Answer) bool { return a.Same(&b) }) {
			err = fmt.Errorf("the receivers get %s, want %s", jsonOf(got), jsonOf(s.want))
		}
		c.report.check("say", s.name, err)
	}
	c.report.check("say", "a variant for each of a frame's receivers", c.manyVariants(abi.MaxReceivers))
	c.report.check("say", "3000 receivers, in frames larger than the first buffer", c.manyVariants(3000))
}

// manyVariants gives n receivers more variants than fit into one frame.
func (c *conformance) manyVariants(n int) error {
	e := event(abi.Say, "prop "+text("role"))
	e.Receivers = nil
	for i := range n {
		role := trial.JSON(fmt.Sprintf(`"%d%s"`, i%abi.MaxVariants, strings.Repeat("r", 300)))
		e.Receivers = append(e.Receivers, trial.Connection{ID: fmt.Sprint(i), Properties: map[string]trial.JSON{"role": role}})
	}
	a, err := c.call(e)
	if err != nil {
		return err
	}
	for i, r := range a.Receivers {
		if want := "prop=" + string(e.Receivers[i].Properties["role"]); r.Message == nil || *r.Message != want {
			return fmt.Errorf("receiver %d gets %s, want %.80s %s", i, jsonOf(r), want, a.Failure)
		}
	}
	return nil
}

// failures makes the guest fail, and checks that it answers the next event.
func (c *conformance) failures() {
	a, err := c.call(event(abi.OnSayReceive, "fail"))
	if err == nil && a.Verdict != "failed" {
		err = fmt.Errorf("it answers %s", jsonOf(a))
	}
	c.report.check("error", "a trap is a failure", err)
	for _, script := range []string{"room ;extra " + text("[]"), "extra " + text(`{"room":"x"}`), "json " + text("{"), "deny 0 " + text(strings.Repeat("r", abi.MaxReason+1))} {
		a, err = c.call(event(abi.OnSayReceive, script))
		if err == nil && a.Verdict != "failed" {
			err = fmt.Errorf("it answers %s", jsonOf(a))
		}
		name, _, _ := strings.Cut(script, " ")
		c.report.check("error", "an invalid answer is a failure: "+name, err)
	}
	for _, hook := range []abi.Hook{abi.Join, abi.Say} {
		a, err = c.call(event(hook, "hold 0 "+text("no")))
		if err == nil && a.Verdict != "failed" {
			err = fmt.Errorf("it answers %s", jsonOf(a))
		}
		c.report.check("error", "a hold is a failure at "+hook.String(), err)
	}
	a, err = c.call(event(abi.OnSayReceive, "allow"))
	if err == nil && a.Verdict != "allow" {
		err = fmt.Errorf("it answers %s", jsonOf(a))
	}
	c.report.check("error", "the next event is answered", err)
}

func (c *conformance) refuses() error {
	cfg := c.cfg
	cfg.Settings = json.RawMessage(`{"refuse":"` + hex.EncodeToString([]byte("words: grüß Gott")) + `"}`)
	m, err := trial.Load(c.ctx, cfg)
	if err == nil {
		m.Close()
		return fmt.Errorf("it accepts the config")
	}
	if !strings.Contains(err.Error(), "words: grüß Gott") {
		return fmt.Errorf("the error has no reason: %w", err)
	}
	return nil
}
