package guests_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host/trial"
)

// alike is a ready-made rule in Rust and the same rule in Go, with the same config.
type alike struct{ rust, goes *trial.Module }

var aTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// both loads the two rules. If they refuse the config, both returns nil and compares the errors.
func both(t *testing.T, name, config string, world trial.Config) *alike {
	t.Helper()
	world.Settings, world.Cache, world.Timeout, world.Now = json.RawMessage(config), cache, time.Minute, aTime
	loaded := func(wasm []byte) (*trial.Module, string) {
		cfg := world
		cfg.Wasm = wasm
		m, err := trial.Load(t.Context(), cfg)
		if err != nil {
			return nil, err.Error()
		}
		t.Cleanup(func() { m.Close() })
		return m, ""
	}
	wasm, err := builtin.Wasm(name)
	if err != nil {
		t.Fatal(err)
	}
	rust, why := loaded(wasm)
	goes, want := loaded(guest(t, name))
	if why != want {
		t.Errorf("%s with %s: in Rust %q, in Go %q", name, config, why, want)
	}
	if rust == nil || goes == nil {
		return nil
	}
	return &alike{rust, goes}
}

// ask asks both rules, compares their answers, and returns that of the rule in Rust.
func (a *alike) ask(t *testing.T, e trial.Event) trial.Answer {
	t.Helper()
	var answers [2]trial.Answer
	for i, m := range []*trial.Module{a.rust, a.goes} {
		var err error
		if answers[i], _, err = m.Ask(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		for k, line := range answers[i].Log { // the errors of the JSON readers differ
			answers[i].Log[k], _, _ = strings.Cut(line, "}: ")
		}
	}
	if !answers[0].Same(&answers[1]) {
		rust, _ := json.Marshal(answers[0])
		goes, _ := json.Marshal(answers[1])
		event, _ := json.Marshal(e)
		t.Errorf("%s\nin Rust %s\nin Go   %s", event, rust, goes)
	}
	return answers[0]
}

func of(text string) *string { return &text }

// texts makes messages of words, their spellings and characters that look alike. Half of them are ASCII.
func texts(t *testing.T, n int) (all []string) {
	t.Helper()
	table, err := os.ReadFile("blocklist/lookalikes.txt")
	if err != nil {
		t.Fatal(err)
	}
	lookalikes := map[rune][]rune{}
	for line := range strings.Lines(strings.TrimSpace(string(table))) {
		r := []rune(strings.TrimSpace(line))
		lookalikes[r[0]] = r[1:]
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from string) string {
		fields := strings.Fields(from)
		return fields[random.IntN(len(fields))]
	}
	for i := range n {
		var b strings.Builder
		for range 1 + random.IntN(12) {
			for _, r := range pick("darn Darn undarned what the heck straße STRAẞE плохо ПЛОХО 455 sh!p ship she hers x1 Ⅷ ſin ١٢ ab") {
				if like := lookalikes[r]; random.IntN(4) == 0 && len(like) > 0 {
					r = like[random.IntN(len(like))]
				} else if random.IntN(8) == 0 {
					r = rune(pick("4 @ $ ! | + 1 5 0 7 8 9 3")[0])
				}
				b.WriteRune(r)
				if random.IntN(12) == 0 {
					b.WriteRune([]rune("\u0301\u200b\u00ad\u0488")[random.IntN(4)])
				}
			}
			b.WriteString([]string{" ", "", ", ", "-", "\t", "…", "!", "🙂", "\ufffd", `"`, `\`}[random.IntN(11)])
		}
		text := b.String()
		if i%2 == 0 {
			text = strings.Map(ascii, text)
		}
		all = append(all, text)
	}
	return all
}

// ascii returns r, or a negative number if it is not ASCII.
func ascii(r rune) rune {
	if r >= 0x80 {
		return -1
	}
	return r
}

// TestLinksOfEveryMemberAreFound checks JSON messages that JSON parsers of rules read differently than clients do.
func TestLinksOfEveryMemberAreFound(t *testing.T) {
	wasm, err := builtin.Wasm("links")
	if err != nil {
		t.Fatal(err)
	}
	m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Cache: cache, Settings: json.RawMessage(`{"deny":["evil.com"]}`), Timeout: time.Minute, Now: aTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	for value, want := range map[string]string{
		`{"a":"https://evil.com","a":"ok"}`:       "deny",
		`{"a":"ok","a":"https://evil.com"}`:       "deny",
		`["\ud800","https://evil.com"]`:           "deny",
		`{"n":1e999,"a":["\u0065vil.com"]}`:       "deny",
		`{"evil.com":[1e999,"https:\/\/ok.com"]}`: "allow",
	} {
		answer, _, err := m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Room: "r", JSON: trial.JSON(value)})
		if err != nil || answer.Verdict != want {
			t.Errorf("%s: %+v, %v, want %s", value, answer, err, want)
		}
	}
}

// TestLinksAreMaskedInJSONAsInTexts compares the masked strings of a JSON message with the same strings as messages of their own, and
// checks that all else in the message stays as it is.
func TestLinksAreMaskedInJSONAsInTexts(t *testing.T) {
	wasm, err := builtin.Wasm("links")
	if err != nil {
		t.Fatal(err)
	}
	m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Cache: cache, Settings: json.RawMessage(`{"deny":["evil.com"],"action":"mask","mask":"\"[l]\""}`), Timeout: time.Minute, Now: aTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	ask := func(e trial.Event) trial.Answer {
		t.Helper()
		e.Hook, e.Room = "onSayReceive", "r"
		answer, _, err := m.Ask(t.Context(), &e)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	random, masked := rand.New(rand.NewPCG(5, 6)), 0
	words := []string{"evil.com", "https://evil.com/a?b=c", "//www.evil.com", "https://e%76il.com", "ok.com", "é🙂", `"`, `\`, "\n", "\x01", "<&>", ":", " ", "", "{", "]"}
	for range 300 {
		var texts, want []string
		for range 1 + random.IntN(4) {
			var b strings.Builder
			for range random.IntN(6) {
				b.WriteString(words[random.IntN(len(words))] + []string{"", " "}[random.IntN(2)])
			}
			texts = append(texts, b.String())
			switch a := ask(trial.Event{Message: of(b.String())}); a.Verdict {
			case "rewrite":
				want, masked = append(want, *a.Message), masked+1
			default:
				want = append(want, b.String())
			}
		}
		message := func(texts []string) trial.JSON {
			names := map[string]any{"evil.com": 1.5, "a": texts, "b": map[string]any{"evil.com": texts[0]}}
			value, err := json.Marshal(names)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
		a := ask(trial.Event{JSON: message(texts)})
		have := a.JSON
		if a.Verdict == "allow" {
			have = message(texts)
		}
		var got any
		if err := json.Unmarshal(have, &got); err != nil {
			t.Fatalf("%q becomes %s: %v", texts, have, err)
		}
		if again, _ := json.Marshal(got); string(again) != string(message(want)) {
			t.Errorf("%q becomes\n%s, want\n%s", texts, again, message(want))
		}
	}
	if masked < 100 {
		t.Errorf("only %d texts have links", masked)
	}
	if a := ask(trial.Event{JSON: trial.JSON(`["\ud800","evil.com"]`)}); a.Verdict != "deny" {
		t.Errorf("a string that cannot be read: %+v", a)
	}
}

func TestBlocklistsAreAlike(t *testing.T) {
	words := `"words":["darn","what the heck","the heck no","straße","плохо","455","ship","she","he","hers","sin","x1"]`
	all := texts(t, 60)
	for _, config := range []string{``, `{}`, `{` + words + `}`, `{` + words + `,"inside":true}`, `{` + words + `,"leet":false}`,
		`{` + words + `,"lookalikes":false}`, `{` + words + `,"leet":false,"lookalikes":false,"inside":true}`, `{` + words + `,"action":"deny"}`,
		`{"action":"hide"}`, `{"words":["darn","c++"]}`, `{"words":[""]}`, `{"words":[" a"]}`, `{"wrds":[]}`} {
		a := both(t, "blocklist", config, trial.Config{})
		if a == nil {
			continue
		}
		for _, text := range all {
			a.ask(t, trial.Event{Hook: "onSayReceive", Room: "r", Message: of(text)})
			value, err := json.Marshal(map[string]any{text: []any{text, 1, "darn", map[string]string{"a": text + "\n darn"}}})
			if err != nil {
				t.Fatal(err)
			}
			a.ask(t, trial.Event{Hook: "onSayReceive", Room: "r", JSON: value})
		}
		for _, value := range []string{`"\u0064arn"`, `"\ud83d darn"`, `"\ud83d\ude42 darn \/"`, `{"darn" : "darn"}`, `[true, null, 1, "true"]`, `"a\\", "darn"`} {
			if json.Valid([]byte(value)) {
				a.ask(t, trial.Event{Hook: "onSayReceive", Room: "r", JSON: trial.JSON(value)})
			}
		}
	}
}

// TestLongBlocklistsAreAlike checks lists whose automaton has more states than it has tables, with words that overlap.
func TestLongBlocklistsAreAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	text := func(letters string, n int) string {
		r := []rune(letters)
		var b strings.Builder
		for range n {
			b.WriteRune(r[random.IntN(len(r))])
		}
		return b.String()
	}
	var words []string
	for range 1000 {
		words = append(words, text("abcж", 2+random.IntN(8))+text("ab1ж", 1))
	}
	for _, inside := range []bool{false, true} {
		config, _ := json.Marshal(map[string]any{"words": words, "inside": inside})
		a := both(t, "blocklist", string(config), trial.Config{})
		masked := 0
		for i := range 300 {
			letters := "aabbccжж1! é"
			if i%2 == 0 {
				letters = strings.Map(ascii, letters)
			}
			if a.ask(t, trial.Event{Hook: "onSayReceive", Message: of(text(letters, 40))}).Verdict == "rewrite" {
				masked++
			}
		}
		if masked < 20 {
			t.Errorf("inside: %v: %d of 300 texts have a listed word", inside, masked)
		}
	}
}

// TestACallOfBlocklistHardlyDependsOnTheNumberOfWords bounds the fuel of a message of 200 bytes without listed words, which is read
// once, and compares it with the fuel for 5000 words.
func TestACallOfBlocklistHardlyDependsOnTheNumberOfWords(t *testing.T) {
	wasm, err := builtin.Wasm("blocklist")
	if err != nil {
		t.Fatal(err)
	}
	fuel := func(words []string) uint64 {
		config, _ := json.Marshal(map[string]any{"words": words})
		m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: config, Cache: cache, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var cost trial.Cost
		message := strings.Repeat("hello there my friend, how are you? Fine. ", 5)[:200]
		for range 2 { // the first message makes the memory grow
			if _, cost, err = m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Message: &message}); err != nil {
				t.Fatal(err)
			}
		}
		return cost.Fuel
	}
	var words []string
	for i := range 5000 {
		words = append(words, fmt.Sprintf("%xquickly", i*7919))
	}
	two, many := fuel(words[:2]), fuel(words)
	if two > 40_000 || many > two+two/2 {
		t.Errorf("%d units with 2 words, %d with 5000", two, many)
	}
}

func TestAnnouncersAreAlike(t *testing.T) {
	for _, config := range []string{``, `{"join":"{user} ({id}) is in {room}{room} {x} {","leave":""}`, `{"quiet":[]}`, `{"quiet":["disconnect"]}`,
		`{"quiet":["rejoined","kicked"]}`, `{"quite":[]}`} {
		a := both(t, "announcer", config, trial.Config{})
		if a == nil {
			continue
		}
		for _, user := range []string{"", "ann", "{id}"} {
			c := &trial.Connection{ID: "17", User: user}
			for _, cause := range []string{"", "rejoined"} {
				a.ask(t, trial.Event{Hook: "join", Room: "{id}", Cause: cause, Connection: c})
			}
			for _, cause := range []string{"roomLeave", "disconnect", "node_lost", "destroyed", "removed"} {
				a.ask(t, trial.Event{Hook: "leave", Room: "lobby", Cause: cause, Connection: c})
			}
		}
	}
}

func TestGatesAreAlike(t *testing.T) {
	rooms := map[string]int{"staff": 2, "hall1": 3, "hall2": 1, "a]c": 5}
	for _, config := range []string{``, `{"tokens":{"open-sesame":"member","s3cret":"ad\"min"}}`,
		`{"rooms":[{"match":"staff","roles":["admin","clerk"],"capacity":3},{"match":"hall*","open":true,"capacity":3},"*"]}`,
		`{"rooms":["{a,b{c,d*}}?[x-z]","[!a-c]*","a\\*b","[\\]a-]?c","{}x"]}`,
		`{"rooms":["a",""]}`, `{"rooms":["["]}`, `{"rooms":["}"]}`, `{"rooms":["{a"]}`, `{"rooms":["[]"]}`, `{"rooms":["[z-a]"]}`, `{"rooms":["a\\"]}`,
		`{"rooms":[{"match":"a","capacity":-1}]}`, `{"rooms":[{"match":"a","open":true,"roles":["x"]}]}`, `{"rooms":[{"match":""}]}`,
		`{"tokens":{"":"member"}}`, `{"tokens":{"open":""}}`, `{"room":"a"}`} {
		a := both(t, "gate", config, trial.Config{Rooms: rooms})
		if a == nil {
			continue
		}
		for _, room := range []string{"secure1", "insecure", "staff", "hall1", "hall2", "ax-", "a1x", "bdefgz", "bc1y", "zebra", "a*b", "aXb", "a]c", "]]c", "-\nc", "x", "é"} {
			for _, role := range []string{"", `"member"`, `"clerk"`, `"admin"`, `["clerk"]`, `""`, `null`, `7`} {
				c := &trial.Connection{ID: "1", Properties: map[string]trial.JSON{}}
				if role != "" {
					c.Properties["role"] = trial.JSON(role)
				}
				for _, cause := range []string{"", "rejoined"} {
					a.ask(t, trial.Event{Hook: "join", Room: room, Cause: cause, Connection: c})
				}
			}
		}
		for _, params := range []string{`{"token":"open-sesame"}`, `{"token":"s3cret"}`, `{"token":"open-sesam"}`, `{"token":""}`, `{"token":7}`, `{"token":null}`, `{}`, `{"token":"s3\u0063ret"}`} {
			a.ask(t, trial.Event{Hook: "action", Action: "login", Params: trial.JSON(params), Connection: &trial.Connection{ID: "1"}})
		}
	}
}

func TestInvitationsAreAlike(t *testing.T) {
	stored := map[string]string{"room:private1": `{ "members": ["ann", "zoë"], "invitations": {"bob": {"by": "ann", "once": true}, "old": {"ends": 1}}}`,
		"room:private3": `["ann"]`, "room:private4": `{"member": []}`, "room:private5": `{"members": ["ann"]} {}`, "room:private6": `{"members": [""]}`,
		"room:private7": `{"invitations": {"bob": {"ends": 1.5}}}`}
	for _, config := range []string{``, `{"roles":["admin"],"max":4,"lasts":"1h30m"}`, `{"rooms":["private*","a"],"lasts":"0s"}`, `{"room":"a"}`, `{"rooms":[""]}`, `{"roles":[""]}`,
		`{"lasts":"1day"}`, `{"lasts":"-5s"}`, `{"lasts":"1ms"}`, `{"lasts":"8785h"}`, `{"lasts":".5h"}`, `{"lasts":"h"}`, `{"lasts":"5"}`, `{"max":0}`, `{"max":1001}`} {
		a := both(t, "invitations", config, trial.Config{KV: stored})
		if a == nil {
			continue
		}
		random := rand.New(rand.NewPCG(3, 4))
		pick := func(of ...string) string { return of[random.IntN(len(of))] }
		for range 150 {
			c := &trial.Connection{ID: "1", User: pick("ann", "bob", "cleo", "dora", "zoë", ""), Properties: map[string]trial.JSON{}}
			if random.IntN(4) == 0 {
				c.Properties["role"] = trial.JSON(pick(`"admin"`, `"member"`, `["admin"]`))
			}
			e := trial.Event{Hook: "join", Room: pick("lobby", "private1", "private1", "private2", "private3", "private4", "private5", "private6", "private7"), Cause: pick("", "", "", "rejoined"), Connection: c}
			if random.IntN(3) > 0 {
				fields := []string{`"room":` + pick(`"private1"`, `"private2"`, `"private2"`, `"lobby"`, `"private3"`), `"user":` + pick(`"bob"`, `"cleo"`, `"dora"`, `"zoë"`, `"e\"ve"`, `""`, `7`)}
				for _, field := range []string{`"lasts":` + pick(`"2h"`, `"1s"`, `"0s"`, `"1h1m1.5s"`, `"2 days"`, `7`), `"once":` + pick(`true`, `"true"`, `"false"`, `null`, `1`), `"member":` + pick(`true`, `false`, `"no"`)} {
					if random.IntN(3) == 0 {
						fields = append(fields, field)
					}
				}
				e = trial.Event{Hook: "action", Action: pick("invite", "invite", "uninvite", "invitations"), Params: trial.JSON("{" + strings.Join(fields, ",") + "}"), Connection: c}
			}
			a.ask(t, e)
			for _, room := range []string{"private1", "private2"} {
				rust, _ := a.rust.Stored("room:" + room)
				if goes, _ := a.goes.Stored("room:" + room); rust != goes {
					t.Fatalf("%s is in Rust %s, in Go %s", room, rust, goes)
				}
			}
			step := time.Duration(random.IntN(20)) * time.Minute
			a.rust.Advance(step)
			a.goes.Advance(step)
		}
	}
}

// TestErrorOfALongWordNamesIt checks that a word longer than the error of a module does not hide the error.
func TestErrorOfALongWordNamesIt(t *testing.T) {
	want := `words[1]: "` + strings.Repeat("é", 63) + `+..." must begin and end with a letter or a digit`
	for _, wasm := range [][]byte{guest(t, "builtin/blocklist"), guest(t, "blocklist")} {
		config := `{"words":["darn","` + strings.Repeat("é", 63) + strings.Repeat("+", 2000) + `"]}`
		m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: json.RawMessage(config), Cache: cache, Timeout: time.Minute})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestBlocklistOf5000WordsFits checks that a list of 88 KB fits into an instance of 16 MiB.
func TestBlocklistOf5000WordsFits(t *testing.T) {
	var words []string
	for i := range 5000 {
		words = append(words, fmt.Sprintf("%xquickly", i*7919))
	}
	config, err := json.Marshal(map[string]any{"words": words})
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := builtin.Wasm("blocklist")
	if err != nil {
		t.Fatal(err)
	}
	m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: config, Cache: cache, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, _, err := m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Message: of("so " + words[4999] + " it ran")})
	if err != nil || a.Verdict != "rewrite" || !strings.Contains(*a.Message, "so **** it ran"[:4]) {
		t.Errorf("%+v, %v", a, err)
	}
}
