package guests_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/trial"
)

// pattern is a hostile text: a unit that is repeated, and a tail. A rule that searches anew from each unit reads the rest each time.
type pattern struct{ unit, tail string }

func (p pattern) text(bytes int) string { return strings.Repeat(p.unit, bytes/len(p.unit)) + p.tail }

// strings returns a JSON message of a string for each unit.
func (p pattern) strings(bytes int) trial.JSON {
	value, _ := json.Marshal(append(strings.SplitAfter(strings.Repeat(p.unit+"\x00", bytes/(len(p.unit)+3)), "\x00"), p.tail))
	return trial.JSON(strings.ReplaceAll(string(value), `\u0000`, ""))
}

var patterns = []pattern{
	// Links.
	{"//a@", ""}, {"http://", ""}, {"http:", ""}, {"http:[", ")"}, {"http:[ü", ""}, {"ws:", "@www.evil.com"}, {"ws:", "@" + strings.Repeat("ü.", 300)},
	{"ws:%65@", ""}, {"x://a?", ""}, {"/", ""}, {"//a ", ""}, {"a.", ""}, {"com.", ""}, {"com. ", ""}, {"www.", ""}, {"[.]", ""}, {".com/", ""},
	{"。", ""}, {"a．", ""}, {"ü。", "com"}, {"\u200b", ""}, {strings.Repeat("com.", 200) + " ", ""},
	{"看a.com", ""}, {"a.com\u200b", ""}, {"“a.com", ""}, {"https://a.com看", ""}, {"ws:", "@evil.com看" + strings.Repeat("ü.", 300)}, {"a.com,", ""}, {"👍", ""}, {"u\u0308", ""}, {"ⓔ.", ""},
	// Personal data.
	{"@", ""}, {"a@", ""}, {"a@a.", ""}, {"1", ""}, {"1 ", ""}, {"11-", ""}, {"+1(", ""}, {"4111111111111111 1 ", ""}, {"4222222222222-", "x"},
	{"DE89", ""}, {"DE89 3704 0044 ", ""},
	// Words, names and JSON.
	{" ", ""}, {"a", ""}, {"a ", ""}, {"A", ""}, {"d4", ""}, {"darn", ""}, {"d@rn ", ""}, {"what the ", ""}, {"$", ""}, {"\u0301", ""}, {"{", ""},
	{"{id}", ""}, {"\\", ""}, {`"`, ""}, {"\n", ""},
}

// messages returns the events of a message with a text.
func messages(p pattern, bytes int) []trial.Event {
	c := &trial.Connection{ID: "1", User: "ann"}
	whole, _ := json.Marshal([]string{p.text(bytes)})
	message := trial.Event{Hook: "onSayReceive", Room: "r", Connection: c, Message: of(p.text(bytes))}
	asJSON, many := message, message
	asJSON.Message, asJSON.JSON = nil, whole
	many.Message, many.JSON = nil, p.strings(bytes)
	return []trial.Event{message, asJSON, many}
}

// names returns a function for the events of a room, a user and a role with a text, and of actions with a text as their parameters.
func names(actions ...string) func(p pattern, bytes int) []trial.Event {
	return func(p pattern, bytes int) []trial.Event {
		text := p.text(bytes)
		quoted, _ := json.Marshal(text)
		c := &trial.Connection{ID: "1", User: text, Properties: map[string]trial.JSON{"role": quoted}}
		params, _ := json.Marshal(map[string]any{"token": text, "room": "a" + text, "user": "bob", "lasts": text, "once": text})
		all := []trial.Event{{Hook: "join", Room: "a" + text, Connection: c}, {Hook: "leave", Room: text, Cause: "disconnect", Connection: c},
			{Hook: "onSayReceive", Room: text, Connection: c, Message: of("hello")}}
		for _, action := range actions {
			all = append(all, trial.Event{Hook: "action", Action: action, Params: params, Connection: c})
		}
		return all
	}
}

// TestFuelOfRulesIsLinear checks that a text of twice the length costs a ready-made rule about twice the fuel. A rule whose fuel
// grows faster lets one client use up the time of all calls with texts that the server accepts.
func TestFuelOfRulesIsLinear(t *testing.T) {
	const (
		bytes  = 8 << 10
		growth = 1 << 20 // units: the memory of an instance can still grow by a page
	)
	for _, test := range []struct {
		rule, config string
		events       func(p pattern, bytes int) []trial.Event
	}{
		{"links", `{"deny":["evil.com","b.evil.com"]}`, messages},
		{"links", `{"deny":["*"],"action":"mask"}`, messages},
		{"links", `{"allow":["a","example.com"],"bare":false}`, messages},
		{"links", `{"deny":["*"],"action":"hold"}`, messages},
		{"redact", `{}`, messages},
		{"redact", `{"email":"{last}","phone":"{last}","card":"{last}","iban":"{last}"}`, messages},
		{"blocklist", `{"words":["darn","what the heck","heck","a","aa","aaab","455","x1"],"inside":true}`, messages},
		{"blocklist", `{"words":["darn","a a a a b","what the what","d4"],"action":"deny"}`, messages},
		{"blocklist", `{"words":["darn"],"action":"hold"}`, messages},
		{"flood", `{}`, messages},
		{"flood", `{"repeats":0,"row":0,"mentions":0,"lines":0,"capitals":100,"exempt":["admin"]}`, messages},
		{"flood", `{"exempt":["admin"]}`, names()},
		{"slowmode", `{"roles":{"admin":"0s"}}`, names()},
		{"slowmode", `{"by":"connection"}`, messages},
		{"strikes", `{"strikes":20}`, messages},
		{"newcomers", `{}`, messages},
		{"newcomers", `{"exempt":["admin"]}`, names()},
		{"announcer", `{"join":"{user}{room}{","leave":"{user}"}`, names()},
		{"gate", `{"rooms":[{"match":"*a*a*b*","roles":["admin"]},"{a,b{c,d*}}?[x-z]*"],"tokens":{"open":"admin"}}`, names("login")},
		{"invitations", `{"rooms":["a*","*a*a*b"],"roles":["admin"]}`, names("invite", "uninvite", "invitations")},
	} {
		wasm, err := builtin.Wasm(test.rule)
		if err != nil {
			t.Fatal(err)
		}
		m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Cache: cache, Settings: json.RawMessage(test.config), Timeout: time.Minute, Now: aTime})
		if err != nil {
			t.Fatalf("%s with %s: %v", test.rule, test.config, err)
		}
		fuel := func(e *trial.Event) uint64 {
			m.Advance(time.Hour)
			answer, cost, err := m.Ask(t.Context(), e)
			if err != nil || answer.Verdict == "failed" {
				t.Fatalf("%s with %s: %s %s: %v, %s", test.rule, test.config, e.Hook, e.Action, err, answer.Failure)
			}
			return cost.Fuel
		}
		for _, p := range patterns {
			short, long := test.events(p, bytes), test.events(p, 2*bytes)
			for i := range long {
				if !slices.Contains(m.Inspection.Hooks, abi.HookNamed(long[i].Hook)) {
					continue
				}
				fuel(&long[i]) // grows the memory, which costs fuel once
				one, two := fuel(&short[i]), fuel(&long[i])
				for range 3 { // a call may get a new instance, whose memory grows again
					if two > 5*one/2+growth {
						two = fuel(&long[i])
					}
				}
				if two > 5*one/2+growth {
					t.Errorf("%s with %s: %s %s of %d bytes of %q costs %d units of fuel, of %d bytes %d", test.rule, test.config, long[i].Hook, long[i].Action, bytes, p.unit, one, 2*bytes, two)
				}
			}
		}
		m.Close()
	}
}
