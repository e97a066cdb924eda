package wire

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestVerbsAreDocumented checks that the table of verbs in PROTOCOL.md has the names,
// fields and prices of Verbs.
func TestVerbsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| verb | fields | price | effect |\n| --- | --- | --- | --- |\n")
	if !ok {
		t.Fatal("PROTOCOL.md has no table of verbs")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	fromActionHero := []string{"room", "message", "params", "action"}
	code := regexp.MustCompile("`([^`]+)`")
	namesIn := func(cell string) (names []string) {
		for _, m := range code.FindAllStringSubmatch(cell, -1) {
			names = append(names, m[1])
		}
		return names
	}
	documented := map[string]bool{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		for _, name := range namesIn(cells[1]) {
			documented[name] = true
			v := FindVerb(name)
			if v == nil {
				t.Errorf("PROTOCOL.md has the verb %s, which does not exist", name)
				continue
			}
			if price := strings.TrimSpace(cells[3]); price != strconv.FormatFloat(v.Price, 'g', -1, 64) {
				t.Errorf("%s costs %v, and %s in PROTOCOL.md", name, v.Price, price)
			}
			fields := namesIn(cells[2])
			for _, f := range v.Fields {
				if i := slices.Index(fields, f.Name); i >= 0 {
					fields = slices.Delete(fields, i, i+1)
				} else {
					t.Errorf("PROTOCOL.md has no field %s of %s", f.Name, name)
				}
			}
			for _, f := range fields {
				if !slices.Contains(fromActionHero, f) {
					t.Errorf("PROTOCOL.md has the field %s of %s, which does not exist", f, name)
				}
			}
		}
	}
	for _, v := range Verbs {
		if !documented[v.Name] {
			t.Errorf("%s is not in PROTOCOL.md", v.Name)
		}
	}
}

// TestLinesBeginWithVerbs checks that a line of only a verb is parsed as that verb. The
// line "action" is parsed as an action with that name.
func TestLinesBeginWithVerbs(t *testing.T) {
	for _, v := range Verbs {
		want := Request{Verb: v.Name}
		if v.Name == actionVerb {
			want.Action = actionVerb
		}
		if r, err := ParseLine([]byte(v.Name)); err != nil || r.Verb != want.Verb || r.Action != want.Action {
			t.Errorf("%s is parsed as %+v, %v", v.Name, r, err)
		}
	}
}

// TestErrorsDoNotGiveBackSecrets checks that an error returns the client's request
// without its secrets.
func TestErrorsDoNotGiveBackSecrets(t *testing.T) {
	for verb, secret := range map[string]string{"auth": "token", "resume": "session"} {
		r, err := ParseRequest([]byte(`{"event":"` + verb + `","` + secret + `":"s","x":1}`))
		if err != nil || string(r.Data) != `{"x":1}` {
			t.Errorf("%s gives back %s, %v", verb, r.Data, err)
		}
		r, err = ParseRequest([]byte(`{"event":"say","` + secret + `":"s"}`))
		if err != nil || string(r.Data) != `{"`+secret+`":"s"}` {
			t.Errorf("say gives back %s, %v", r.Data, err)
		}
	}
}
