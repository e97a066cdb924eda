package redis

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{"e:1:1 n#x.1 hello", "e:1:1 n#x~id.1 hello", "e:1:1 n#x.1 ", "e:0:x", "e:-1:x", "e:1:", ":1:x", "e:99999999999999999999:x",
		"e:1:2 whatever", "e:1:1  x", "e:01:1 a b", "::", "", "1:2:3", "e:1:\x00\xff", "~1 n#x.1 hello", "~", "!n#x.1", "!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseEnvelope(s)
		if err != nil {
			return
		}
		switch {
		case e.mark != "":
			if s != flushMark+e.mark || len(e.mark) > maxID || e.entry != "" || e.position != (position{}) {
				t.Errorf("%q is the mark %+v", s, e)
			}
			return
		case strings.HasPrefix(s, ephemeralMark):
			if s != ephemeralMark+e.entry || e.position != (position{}) {
				t.Errorf("%q is the ephemeral message %+v", s, e)
			}
			return
		}
		if e.epoch == "" || e.offset == 0 || e.offset > maxOffset {
			t.Errorf("%q has the position %+v", s, e.position)
		}
		again, err := parseEnvelope(e.epoch + ":" + strconv.FormatUint(e.offset, 10) + ":" + e.entry)
		if err != nil || again != e {
			t.Errorf("%q became %+v, %v", s, again, err)
		}
		m, err := parseEntry(e.entry)
		if err == nil && (m.String() != e.entry || m.id == "" || len(m.id) > maxID) {
			t.Errorf("%q became %q", e.entry, m.String())
		}
	})
}

// TestEntryOfAnotherVersion checks that parseEntry distinguishes entries of another
// version from malformed ones.
func TestEntryOfAnotherVersion(t *testing.T) {
	if _, err := parseEntry("2 n#x.1 hello"); !errors.Is(err, errVersion) {
		t.Errorf("error %v, want that of another version", err)
	}
	for _, s := range []string{"", "1", "1 ", "1 id", "1  payload"} {
		if e, err := parseEntry(s); err == nil || errors.Is(err, errVersion) {
			t.Errorf("%q gave %+v, %v", s, e, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("id", "1700 {}", "bm9kZSN4L2lk")
	f.Add("", "x", "-1")
	f.Fuzz(func(t *testing.T, id, s, c string) {
		if m, err := parseRecord(id, s); err == nil {
			if again, err := parseRecord(id, record(m)); err != nil || string(again.Profile) != string(m.Profile) || again.User != m.User || again.JoinedAt != m.JoinedAt {
				t.Errorf("%q became %+v, %v", s, again, err)
			}
		}
		if at, err := parseCursor(c); err == nil && c != "" && at.String() != c {
			t.Errorf("cursor %q became %q", c, at)
		}
	})
}

// TestMalformedAnswersAreErrors checks that malformed answers of scripts are errors.
func TestMalformedAnswersAreErrors(t *testing.T) {
	for _, v := range [][]string{nil, {"e"}, {"e", "1", "1"}, {"e", "1", "1", ""}, {"e", "1", "x", "", ""}, {"e", "x", "1", "", ""}, {"e", "2", "1", "", "", "1"}, {"e", "2", "1", "", "", "3", "late"},
		{"e", "2", "1", "", "", "2", "b", "1", "a"}, {"e", "2", "2", "", "", "1", "early"}, {"e", "2", "1", "x", ""}, {"e", "2", "1", "x:y", ""}, {"e", "2", "1", ":1", ""}} {
		if g, err := parsePage(v); err == nil {
			t.Errorf("%q gave %+v", v, g)
		}
	}
	short, negative, huge := strings.Repeat("\x00", stateTop-1), "\xbf\xf0"+strings.Repeat("\x00", stateTop), strings.Repeat("\x7f", stateTop)
	for _, w := range []string{"e", short, negative, huge} {
		if pos, err := parseState(w); err == nil {
			t.Errorf("%q gave %+v", w, pos)
		}
	}
	n := &Node{}
	p := newPartition(n, keys{})
	for _, v := range []values{nil, {"some"}, {"some", "x", "r"}, {"some", int64(0), "r", "id"}, {int64(1), int64(0), "r"}, {"some", int64(0), nil}} {
		if got, err := p.parseTakeAnswer(v); err == nil {
			t.Errorf("%v gave %+v", v, got)
		}
	}
	for _, v := range []values{nil, {int64(0)}, {int64(1), "x", "id"}, {nil, "x"}, {int64(0), int64(0)}} {
		if page, _, err := n.parseMembers("r", v); err == nil {
			t.Errorf("%v gave %v", v, page)
		}
	}
}
