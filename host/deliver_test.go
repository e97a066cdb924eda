package host

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// seat is a member of a room.
type seat struct {
	profile *hook.Profile
	joined  int64
}

func (s seat) Profile() *hook.Profile { return s.profile }
func (s seat) JoinedAt() int64        { return s.joined }

// crowd returns n members with the locales en, de and fr in turn. One in ten is the user "blocked".
func crowd(n int) []hook.Member {
	locales := []string{"en", "de", "fr"}
	members := make([]hook.Member, n)
	for i := range members {
		p := &hook.Profile{Connection: hook.Connection{ID: fmt.Sprintf("c%d", i), User: "u", Locale: locales[i%3], ConnectedAt: 7}}
		if i%10 == 7 {
			p.User = "blocked"
		}
		members[i] = seat{p, int64(i)}
	}
	return members
}

// heard delivers a message and returns what each member gets: "-" is nothing, "=" the unchanged
// message.
func heard(t *testing.T, h *Host, text string, members []hook.Member) []string {
	t.Helper()
	return heardIn(t, h, text, members, nil)
}

// heardIn is heard with a snapshot of the members.
func heardIn(t *testing.T, h *Host, text string, members []hook.Member, c *hook.MemberSnapshot) []string {
	t.Helper()
	ev := said(text)
	ev.Hook, ev.Conn, ev.Snapshot = hook.Say, nil, c
	d := h.Deliver(context.Background(), ev, members)
	out := make([]string, len(members))
	for i := range out {
		a := d.All
		if d.For != nil {
			a = d.For[i]
		}
		switch a {
		case hook.AsIs:
			out[i] = "="
		case hook.Nothing:
			out[i] = "-"
		default:
			out[i] = d.Answers[a].Message.Text + string(d.Answers[a].Extra)
		}
	}
	if d.Release != nil {
		d.Release()
	}
	return out
}

// locally returns what members get of a message in their own language.
func locally(members []hook.Member) []string {
	out := make([]string, len(members))
	for i, m := range members {
		switch p := m.Profile(); {
		case p.User == "blocked":
			out[i] = "-"
		case p.Locale == "en":
			out[i] = "="
		default:
			out[i] = "hi (" + p.Locale + ")"
		}
	}
	return out
}

func TestEveryReceiverGetsItsOwnVerdict(t *testing.T) {
	for _, c := range []struct {
		members int
		calls   uint64
		vary    string
	}{
		{1, 1, "null"}, {30, 1, "null"}, {2500, 3, "null"},
		{30, 1, `["locale", "user"]`}, {2500, 1, `["locale", "user"]`},
		{2500, 3, `["locale", "user", "joinedAt"]`},
	} {
		h, _ := start(t, Config{}, goEntry(`{"say": "receivers", "manifest": {"vary": `+c.vary+`}}`))
		members := crowd(c.members)
		for range 2 { // the second time with the audience of the first
			if got := heard(t, h, "hi", members); !slices.Equal(got, locally(members)) {
				t.Errorf("%+v: they received %.300q", c, got)
			}
		}
		s := h.Stats()[0]
		if s.Calls != 2*c.calls {
			t.Errorf("%+v: %d calls for two messages", c, s.Calls)
		}
	}
}

func TestClassesShowOnlyTheirVariedFields(t *testing.T) {
	// It reads the user too, but its answer does not depend on it, so no member is blocked.
	h, _ := start(t, Config{}, goEntry(`{"say": "receivers", "manifest": {"reads": ["message", "user", "locale"], "vary": ["locale"]}}`))
	got := heard(t, h, "hi", crowd(8))
	if want := strings.Fields("= hi_(de) hi_(fr) = hi_(de) hi_(fr) = hi_(de)"); !slices.Equal(got, under(want)) {
		t.Errorf("they received %q, want %q", got, want)
	}
	h, _ = start(t, Config{}, goEntry(`{"say": "receivers", "manifest": {"vary": []}}`))
	if got := heard(t, h, "hi", crowd(3)); !slices.Equal(got, []string{"hi (-)", "hi (-)", "hi (-)"}) {
		t.Errorf("a module that sees nothing: they received %q", got)
	}
}

// under replaces underscores in words by spaces.
func under(words []string) []string {
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "_", " ")
	}
	return words
}

func TestOneAnswerForAllReceivers(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for say, want := range map[string]string{
		"hello":               "=",
		"deny it":             "-",
		"code 5":              "-",
		"code 4":              "=",
		"rewrite other":       "other",
		"rewrite rewrite":     "rewrite",
		`extra {"k": [1, 2]}`: `extra {"k": [1, 2]}{"k":[1,2]}`,
		"code 9":              "-",
		"panic now":           "-",
	} {
		for _, got := range heard(t, h, say, crowd(3)) {
			if got != want {
				t.Errorf("%q: received %q, want %q", say, got, want)
			}
		}
	}
	s := h.Stats()[0]
	if s.Denied != 3 || s.Dropped != 3 || s.Rewritten != 9 || s.Allowed != 6 || s.Errors["protocol"] != 1 || s.Errors["trap"]+s.Errors["exit"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLaterEntriesAreAskedAboutEachForm(t *testing.T) {
	translate := goEntry(`{"say": "receivers"}`)
	second := goEntry(`{}`) // does what the text of the message says
	second.Priority = 1
	h, _ := start(t, Config{}, translate, second)
	members := crowd(8)
	got := heard(t, h, "deny", members)
	want := under(strings.Fields("- deny_(de) deny_(fr) - deny_(de) deny_(fr) - -"))
	if slices.Equal(got, want) {
		t.Fatal("the second module was not asked about what the first made of it")
	}
	if want := strings.Fields("- - - - - - - -"); !slices.Equal(got, want) {
		t.Errorf("they received %q", got)
	}
	if s := h.Stats()[0]; s.Calls != 1+3 {
		t.Errorf("%d calls, want one, and one for each of three forms", s.Calls)
	}
}

func TestEqualRewritesAreOneAnswer(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{"say": "receivers"}`))
	ev := said("hi")
	ev.Hook, ev.Conn, ev.Extra = hook.Say, nil, json.RawMessage(`{"a":1}`)
	d := h.Deliver(context.Background(), ev, crowd(3000))
	defer d.Release()
	want := []wire.Payload{
		{Message: wire.Message{Text: "hi (de)"}, Room: "r", From: "c1", Context: "user", SentAt: 1000, Extra: json.RawMessage(`{"a":1}`)},
		{Message: wire.Message{Text: "hi (fr)"}, Room: "r", From: "c1", Context: "user", SentAt: 1000, Extra: json.RawMessage(`{"a":1}`)},
	}
	if fmt.Sprint(d.Answers) != fmt.Sprint(want) {
		t.Errorf("answers %v, want %v", d.Answers, want)
	}
}

func TestAFailureAtSayAffectsOnlyItsReceivers(t *testing.T) {
	translate := goEntry(`{"say": "receivers"}`)
	second := goEntry(`{}`)
	second.Priority = 1
	for policy, want := range map[Policy]string{DenyOnError: "- - - - - - - -", AllowOnError: "= code_7_(de) code_7_(fr) = code_7_(de) code_7_(fr) = -"} {
		second.OnError = policy
		h, _ := start(t, Config{}, translate, second)
		if got := heard(t, h, "code 7", crowd(8)); !slices.Equal(got, under(strings.Fields(want))) {
			t.Errorf("%v: they received %q", policy, got)
		}
	}
}

func TestAVerdictByteMustHaveItsVariant(t *testing.T) {
	for module, want := range map[string]string{"verdict-0": "= =", "verdict-1": "- =", "verdict-2": "- -", "verdict-255": "- -"} {
		h, _ := start(t, Config{}, Entry{Module: module})
		if got := strings.Join(heard(t, h, "hi", crowd(2)), " "); got != want {
			t.Errorf("%s: they received %s, want %s", module, got, want)
		}
	}
}

func TestExtrasAreMerged(t *testing.T) {
	for _, c := range [][3]string{
		{``, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, `{"b":[2]}`, `{"a":1,"b":[2]}`},
		{`{"a":1,"b":2}`, `{"b":{"c":3}}`, `{"a":1,"b":{"c":3}}`},
	} {
		var first json.RawMessage
		if c[0] != "" {
			first = json.RawMessage(c[0])
		}
		if got := merge(first, json.RawMessage(c[1])); string(got) != c[2] {
			t.Errorf("%s and %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}
