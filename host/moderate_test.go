package host

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/host/report"
)

// sanctionOf returns the effect of the module "go" for a sanction.
func sanctionOf(s moderation.Sanction, ttl time.Duration) hook.Effect {
	s.Module = "go"
	if err := s.Identify(); err != nil {
		panic(err)
	}
	return hook.Effect{Sanction: &hook.Sanction{Set: s, TTL: ttl}}
}

func muteOf(user string) hook.Effect {
	return sanctionOf(moderation.Sanction{User: user, Kind: moderation.Mute, Rooms: "*"}, time.Minute)
}

func removalOf(connection, room, reason string) hook.Effect {
	return hook.Effect{Removal: &hook.Removal{Connection: connection, Room: room, Reason: reason, Module: "go"}}
}

func TestModulesModerate(t *testing.T) {
	h, log := start(t, Config{}, goEntry(`{}`))
	pardon := sanctionOf(moderation.Sanction{User: "bob", Kind: moderation.Shadow, Rooms: "*"}, 0)
	pardon.Sanction.Pardon = true
	for say, want := range map[string]hook.Effect{
		`sanction {"kind":"mute","user":"ann","ttl":60000}`: muteOf("ann"),
		`sanction {"kind":"ban","address":"2001:db8::7","rooms":"game-*","reason":"cheats","note":"n"}`: sanctionOf(moderation.Sanction{
			Network: netip.MustParsePrefix("2001:db8::/64"), Kind: moderation.Ban, Rooms: "game-*", Reason: "cheats", Note: "n"}, 0),
		`pardon {"kind":"shadow","user":"bob"}`: pardon,
		"remove c7 lobby":                       removalOf("c7", "lobby", ""),
		"close c7 good bye":                     removalOf("c7", "", "good bye"),
	} {
		if v, ev := decide(h, say); ev.Message.Text != "0" || !reflect.DeepEqual(v.Effects, []hook.Effect{want}) {
			t.Errorf("%s: %s, %+v", say, ev.Message.Text, v.Effects)
		}
	}
	for say, want := range map[string]string{
		`sanction {`:                                                                      "sanction_set: the argument is not a JSON object of a sanction",
		`sanction {"kind":"mute"}`:                                                        "sanction_set: a sanction has either a user or a network",
		`sanction {"kind":"m","user":"a"}`:                                                `kind \"m\": use mute, shadow or ban`,
		`sanction {"kind":"mute","user":"a","rooms":""}`:                                  "rooms: the pattern is empty",
		`sanction {"kind":"mute","user":"a","rooms":"a*b*"}`:                              "rooms: the pattern has more than one *",
		`sanction {"kind":"mute","user":"a","ttl":-1}`:                                    "ttl: -1 ms",
		`sanction {"kind":"mute","user":"a","ttl":"10m"}`:                                 "ttl",
		`sanction {"kind":"mute","address":"10.0.0.0/8"}`:                                 "more than a /24",
		`sanction {"kind":"mute","address":"home"}`:                                       `address \"home\"`,
		`sanction {"kind":"mute","user":"a","until":1}`:                                   `unknown field \"until\"`,
		`sanction {"kind":"mute","user":"a"}{}`:                                           "more than one JSON value",
		`sanction {"kind":"mute","user":"` + strings.Repeat("u", 257) + `"}`:              "user: at most 256 bytes",
		`sanction {"kind":"mute","user":"a","reason":"` + strings.Repeat("r", 257) + `"}`: "reason: at most 256 bytes",
		`sanction {"kind":"mute","user":"a","note":"` + strings.Repeat("n", 1025) + `"}`:  "note: at most 1024 bytes",
		`pardon {"kind":"mute","user":"a","ttl":1}`:                                       "sanction_pardon: a pardon has user or address, kind and rooms only",
		"remove c7": "member_remove: room: it is empty",
		"close  x":  "connection_close: connection: it is empty",
	} {
		before := len(log.String())
		if v, ev := decide(h, say); ev.Message.Text != "-4" || v.Effects != nil || !strings.Contains(log.String()[before:], want) {
			t.Errorf("%.80s: %s, %+v, the log: %s", say, ev.Message.Text, v.Effects, log.String()[before:])
		}
	}
	if _, ev := decide(h, "close c7 "+strings.Repeat("x", 121)); ev.Message.Text != "-5" {
		t.Errorf("a long reason: %s", ev.Message.Text)
	}
	for say, want := range map[string]string{`sanction {"kind":"mute","user":"ann"}`: "-2", "pardon {}": "-2", "remove c7 r": "-2", "close c7": "-2"} {
		if got := heard(t, h, say, crowd(1))[0]; got != want {
			t.Errorf("at say, %s: %s", say, got)
		}
	}
	ev := said("close c7 x")
	ev.Caused = true
	if v := h.Decide(context.Background(), ev); v.Effects != nil || ev.Message.Text != "-3" {
		t.Errorf("caused by an effect: %+v %s", v, ev.Message.Text)
	}
}

// TestADenialKeepsSanctions checks the effects of a chain by its outcome: after a deny or a drop, those of the entries up to
// the last one that moderate; after a failure none.
func TestADenialKeepsSanctions(t *testing.T) {
	first, later := goEntry(`{}`), goEntry(`{}`)
	later.Priority = 9
	denies := func(module string) Entry { return Entry{Module: module, Priority: 1} }
	for _, c := range []struct {
		text    string
		chain   []Entry
		outcome hook.Outcome
		want    []hook.Effect
	}{
		{"strike ann r", []Entry{first, later}, hook.Denied, []hook.Effect{muteOf("ann"), removalOf("ann", "r", "")}},
		{`sanction {"kind":"mute","user":"ann","ttl":60000}`, []Entry{first, denies("code-1"), later}, hook.Denied, []hook.Effect{muteOf("ann")}},
		{`sanction {"kind":"mute","user":"ann","ttl":60000}`, []Entry{first, denies("code-5"), later}, hook.Dropped, []hook.Effect{muteOf("ann")}},
		{`sanction {"kind":"mute","user":"ann","ttl":60000}`, []Entry{first, denies("trap")}, hook.Failed, nil},
		{"emit q x", []Entry{first, denies("code-1")}, hook.Denied, nil},
		{"sanctiontrap ann", []Entry{first}, hook.Failed, nil},
		{"strike ann r", []Entry{shadow(goEntry(`{}`))}, hook.Allowed, nil},
	} {
		h, _ := start(t, Config{}, c.chain...)
		if v, _ := decide(h, c.text); v.Outcome != c.outcome || !reflect.DeepEqual(v.Effects, c.want) {
			t.Errorf("%s: %v, %+v", c.text, v.Outcome, v.Effects)
		}
	}
}

// TestSanctionsAreShownInDecisions checks the decisions about an allow, a deny and a shadow.
func TestSanctionsAreShownInDecisions(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`), shadow(goEntry(`{}`)))
	decide(h, `sanction {"kind":"mute","user":"ann","ttl":60000}`)
	decide(h, "strike ann r")
	var got []string
	for _, d := range h.Decisions(report.DecisionFilter{}) {
		if len(d.Effects) > 0 {
			got = append(got, strings.TrimSpace(d.Verdict+" "+strings.Join(d.Effects, ", ")))
		}
	}
	mute, remove := "mute user:ann in * for 1m0s", "remove connection ann from r"
	want := []string{"deny " + mute + ", " + remove, "deny " + mute + ", " + remove, "rewrite " + mute} // the shadow sees the rewritten message
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestAnEntryForDenialsIsCalledForThemOnly checks that the module is called after a denial of an earlier entry, that its sanctions
// apply, and that neither its verdict nor its failure changes the denial.
func TestAnEntryForDenialsIsCalledForThemOnly(t *testing.T) {
	observer := func(priority int) Entry {
		e := goEntry(`{"manifest": {"hooks": ["onSayReceive"], "denials": true}}`)
		e.Priority = priority
		return e
	}
	for _, c := range []struct {
		text   string
		chain  []Entry
		called uint64
		want   hook.Verdict
	}{
		{"deny mine", []Entry{observer(0)}, 0, hook.Verdict{}},
		{"deny mine", []Entry{observer(0), {Module: "code-1", Priority: 1}}, 0, hook.Verdict{Outcome: hook.Denied}},
		{"deny mine", []Entry{{Module: "code-1"}, observer(1)}, 1, hook.Verdict{Outcome: hook.Denied}},
		{"strike ann r", []Entry{{Module: "number-7"}, observer(1), {Module: "trap", Priority: 2}}, 1,
			hook.Verdict{Outcome: hook.Denied, Code: 7, Effects: []hook.Effect{muteOf("ann"), removalOf("ann", "r", "")}}},
		{"sanctiontrap ann", []Entry{{Module: "code-1"}, observer(1)}, 1, hook.Verdict{Outcome: hook.Denied}},
		{"strike ann r", []Entry{{Module: "code-5"}, observer(1)}, 0, hook.Verdict{Outcome: hook.Dropped}},
		{"strike ann r", []Entry{{Module: "trap"}, observer(1)}, 0, hook.Verdict{Outcome: hook.Failed}},
		{"strike ann r", []Entry{{Module: "code-1"}, shadow(observer(1))}, 1, hook.Verdict{Outcome: hook.Denied}},
		{"strike ann r", []Entry{shadow(observer(0))}, 0, hook.Verdict{}},
	} {
		h, _ := start(t, Config{}, c.chain...)
		v, _ := decide(h, c.text)
		v.Module = ""
		if !reflect.DeepEqual(v, c.want) {
			t.Errorf("%s: %+v, want %+v", c.text, v, c.want)
		}
		for _, s := range h.Stats() {
			if s.Name == "go" || s.Name == "go+shadow" {
				if s.Calls != c.called {
					t.Errorf("%s: the module was called %d times, want %d", c.text, s.Calls, c.called)
				}
			}
		}
	}
	if got := problems(t, rulesFor(goEntry(`{"manifest": {"denials": true}}`))); !strings.Contains(got, "its manifest declares denials, but it has on_say or on_action") {
		t.Errorf("the problems are %s", got)
	}
}
