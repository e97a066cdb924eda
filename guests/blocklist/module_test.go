package main

import (
	"testing"

	"github.com/mootchat/moot/sdk/go/moottest"
)

func load(t *testing.T, config string) *moottest.Guest {
	t.Helper()
	g, err := moottest.Load(module(), config)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMessages(t *testing.T) {
	tests := []struct {
		name, config, message string
		json                  bool
		want                  moottest.Answer
		rewritten             string
	}{
		{"clean", `{"words":["darn"]}`, "hello", false, moottest.Allow, ""},
		{"no words", ``, "darn", false, moottest.Allow, ""},
		{"mask is the default", `{"words":["darn"]}`, "oh Darn", false, moottest.Rewrite, "oh ****"},
		{"deny", `{"words":["darn"],"action":"deny"}`, "oh Darn", false, moottest.Deny, ""},
		{"deny leaves the rest", `{"words":["darn"],"action":"deny"}`, "oh dear", false, moottest.Allow, ""},
		{"hold", `{"words":["darn"],"action":"hold"}`, "oh Darn", false, moottest.Hold, ""},
		{"hold leaves the rest", `{"words":["darn"],"action":"hold"}`, "oh dear", false, moottest.Allow, ""},
		{"JSON", `{"words":["darn"]}`, `{"darn": [1.0, "oh darn", {"x":"\"darn\u0020it\""}]}`, true,
			moottest.Rewrite, `{"darn": [1.0, "oh ****", {"x":"\"**** it\""}]}`},
		{"JSON escapes", `{"words":["darn"]}`, `["\u0064arn", "a\\", "\ndarn"]`, true,
			moottest.Rewrite, `["****", "a\\", "\u000a****"]`},
		{"JSON words that are syntax", `{"words":["true","null","1"]}`, `[true, null, 1]`, true, moottest.Allow, ""},
		{"JSON text", `{"words":["darn"],"action":"deny"}`, `"darn"`, true, moottest.Deny, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := load(t, test.config)
			v := g.Ask(moottest.Event{Hook: "onSayReceive", Message: test.message, JSON: test.json})
			if v.Answer != test.want || v.Message != test.rewritten {
				t.Errorf("%s %s, want %s %s", v.Answer, v.Message, test.want, test.rewritten)
			}
			if v.Answer == moottest.Rewrite && (v.Kind == 2) != test.json {
				t.Errorf("kind %d", v.Kind)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"action":"hide"}`, `action: "hide" is not mask, deny or hold`},
		{`{"words":["darn","c++"]}`, `words[1]: "c++" must begin and end with a letter or a digit`},
		{`{"words":[""]}`, `words[0]: "" must begin and end with a letter or a digit`},
		{`{"words":"darn"}`, `words: got string, want []string`},
		{`{"word":["darn"]}`, `unknown field "word"`},
	}
	for _, test := range tests {
		if _, err := moottest.Load(module(), test.config); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.config, err, test.want)
		}
	}
}
