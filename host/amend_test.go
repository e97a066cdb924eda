package host

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/report"
)

func amendmentOf(room, id string, edit bool, m wire.Message) hook.Effect {
	return hook.Effect{Amend: &hook.Amendment{Room: room, ID: id, Edit: edit, Message: m, Module: "go"}}
}

func TestModulesAmend(t *testing.T) {
	h, log := start(t, Config{}, goEntry(`{}`))
	for say, want := range map[string]hook.Effect{
		"retract lobby m-1_A":           amendmentOf("lobby", "m-1_A", false, wire.Message{}),
		"edit 0 lobby m1 a better text": amendmentOf("lobby", "m1", true, wire.Message{Text: "a better text"}),
		`edit 1 lobby m1 {"a": [1]}`:    amendmentOf("lobby", "m1", true, wire.Message{Text: `{"a":[1]}`, JSON: true}),
	} {
		if v, ev := decide(h, say); ev.Message.Text != "0" || !reflect.DeepEqual(v.Effects, []hook.Effect{want}) {
			t.Errorf("%s: %s, %+v", say, ev.Message.Text, v.Effects)
		}
	}
	for say, want := range map[string]string{
		"retract  m1":          "message_retract: room: it is empty",
		"retract lobby ":       `message_retract: id: \"\" is not the id of a message`,
		"retract lobby m.1":    `message_retract: id: \"m.1\" is not the id of a message`,
		"edit 0 lobby m1 ":     "message_edit: the new text is empty: retract the message",
		"edit 1 lobby m1 {":    "message_edit: the new text is not UTF-8, or not JSON",
		"edit 2 lobby m1 text": "message_edit: kind 2: use 0 for text or 1 for JSON",
		"edit 0  m1 text":      "message_edit: room: it is empty",
	} {
		before := len(log.String())
		if v, ev := decide(h, say); ev.Message.Text != "-4" || v.Effects != nil || !strings.Contains(log.String()[before:], want) {
			t.Errorf("%s: %s, %+v, the log: %s", say, ev.Message.Text, v.Effects, log.String()[before:])
		}
	}
	if _, ev := decide(h, "retract lobby "+strings.Repeat("m", 25)); ev.Message.Text != "-5" {
		t.Errorf("a long id: %s", ev.Message.Text)
	}
	for _, say := range []string{"retract r m1", "edit 0 r m1 text"} {
		if got := heard(t, h, say, crowd(1))[0]; got != "-2" {
			t.Errorf("at say, %s: %s", say, got)
		}
		ev := said(say)
		ev.Caused, ev.Edits = true, "m0"
		if v := h.Decide(context.Background(), ev); v.Effects != nil || ev.Message.Text != "-3" {
			t.Errorf("caused by an effect, %s: %+v %s", say, v, ev.Message.Text)
		}
	}
}

// TestAmendmentsApplyToADeniedEvent checks the effects of a chain whose last entry denies, and its decision.
func TestAmendmentsApplyToADeniedEvent(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`), Entry{Module: "code-1", Priority: 1})
	want := []hook.Effect{amendmentOf("r", "m1", false, wire.Message{})}
	if v, _ := decide(h, "retract r m1"); v.Outcome != hook.Denied || !reflect.DeepEqual(v.Effects, want) {
		t.Errorf("%v, %+v", v.Outcome, v.Effects)
	}
	decide(h, "edit 0 r m2 text")
	var got []string
	for _, d := range h.Decisions(report.DecisionFilter{}) {
		got = append(got, d.Effects...)
	}
	if want := []string{"edit message m2 in r", "retract message m1 in r"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the decisions have %q, want %q", got, want)
	}
}

// TestAmendingNeedsAGrant checks the error of a load without the grant.
func TestAmendingNeedsAGrant(t *testing.T) {
	h, _ := start(t, Config{})
	e := goEntry(`{}`)
	e.Grants = []string{"kv", "rate", "emit", "rooms", "sanctions", "members", "properties:mood"}
	_, err := h.Load(context.Background(), rulesFor(e))
	want := `it imports moot_1.message_retract, which needs the capability "amend": add it to the entry's grants`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

// TestRulesSeeTheIDsOfMessages checks the fields of an event: a module sees them only if it reads them, and an event without an id
// has none.
func TestRulesSeeTheIDsOfMessages(t *testing.T) {
	reading := func(fields string) Entry { return goEntry(`{"manifest": {"reads": ["message", ` + fields + `]}}`) }
	for fields, want := range map[string]string{`"messageId", "edits"`: "m1|m0", `"edits"`: "-|m0", `"room"`: "-|-"} {
		h, _ := start(t, Config{}, reading(fields))
		ev := said("ids")
		ev.MessageID, ev.Edits = "m1", "m0"
		if h.Decide(context.Background(), ev); ev.Message.Text != want {
			t.Errorf("reads %s: it sees %s, want %s", fields, ev.Message.Text, want)
		}
		ev = said("ids")
		if h.Decide(context.Background(), ev); ev.Message.Text != "-|-" {
			t.Errorf("a message without an id: it sees %s", ev.Message.Text)
		}
	}
}
