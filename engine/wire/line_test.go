package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestLinesOfTheSocketTransport(t *testing.T) {
	for _, c := range []struct {
		line string
		want Request
	}{
		{"detailsView", Request{Verb: "detailsView"}},
		{"roomAdd r", Request{Verb: "roomAdd", Room: "r", RoomGiven: true}},
		{"roomAdd", Request{Verb: "roomAdd"}},
		{"roomAdd   otherRoom", Request{Verb: "roomAdd", RoomGiven: true, Text: " otherRoom"}}, // repeated spaces give empty words
		{"say r some  text ", Request{Verb: "say", Room: "r", RoomGiven: true, Text: "some  text "}},
		{"say r", Request{Verb: "say", Room: "r", RoomGiven: true}},
		{"auth abc.def.ghi", Request{Verb: "auth", Token: "abc.def.ghi"}},
		{"paramAdd k=v=w", Request{Verb: "paramAdd", Key: "k", Value: "v", Room: "k=v=w", RoomGiven: true}},
		{"paramAdd k v w", Request{Verb: "paramAdd", Key: "k", Value: "v", Room: "k", RoomGiven: true, Text: "v w"}},
		{"paramView k", Request{Verb: "paramView", Key: "k", Room: "k", RoomGiven: true}},
		{"paramDelete k", Request{Verb: "paramDelete", Key: "k", Room: "k", RoomGiven: true}},
		{"paramsView", Request{Verb: "paramsView"}},
		{"exit", Request{Verb: "exit"}},

		{"login", Request{Verb: "action", Action: "login"}},
		{"login now", Request{Verb: "action", Action: "login"}},
		{"close", Request{Verb: "action", Action: "close"}},
		{" say r hi", Request{Verb: "action", Action: "say"}}, // a leading space breaks it
		{"null", Request{Verb: "action", Action: "null"}},
		{"42", Request{Verb: "action"}},
		{`{"action":"login","params":{"token":"t","messageId":"m"}}`,
			Request{Verb: "action", ID: raw(`"m"`), Action: "login", Params: raw(`{"token":"t","messageId":"m"}`)}},
		{`{"params":{"action":"login"},"messageId":3}`, Request{Verb: "action", Action: "login", Params: raw(`{"action":"login"}`)}},
		{`{"params":5}`, Request{Verb: "action", Params: raw(`{}`)}},
		{`{}`, Request{Verb: "action"}},

		{`{"event":"roomAdd","room":"r","messageId":1}`, Request{Verb: "roomAdd", ID: raw("1"), Room: "r", RoomGiven: true}},
		{`{"event":"action","messageId":1,"params":{"action":"login"}}`,
			Request{Verb: "action", ID: raw("1"), Action: "login", Params: raw(`{"action":"login"}`)}},
		{"resume n-1 x", Request{Verb: "resume", Session: "n-1"}},
		{"resume", Request{Verb: "resume"}},
		{`{"event":"paramAdd","key":"k","value":"v"}`, Request{Verb: "paramAdd", Key: "k", Value: "v", Room: "k", RoomGiven: true, Text: "v"}},
	} {
		got, err := ParseLine([]byte(c.line))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", c.line, got, err, c.want)
		}
	}
	for line, want := range map[string]error{`{"event":`: ErrJSON, "[1": ErrJSON, "": ErrJSON, "  ": ErrJSON, "say r \xff": ErrUTF8, "\xff": ErrUTF8} {
		if _, err := ParseLine([]byte(line)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", line, err, want)
		}
	}
}

// feed returns the lines and errors of l for chunks.
func feed(l *Lines, chunks ...string) (out []string) {
	for _, c := range chunks {
		for line, err := range l.Feed([]byte(c)) {
			if err != nil {
				line = []byte("!" + err.Error())
			}
			out = append(out, string(line))
		}
	}
	return out
}

func TestLinesAreSplit(t *testing.T) {
	const long, bad, quit = "!DATA_LENGTH_TOO_LONG", "!text is not valid UTF-8", "!quit"
	for _, c := range []struct {
		name   string
		lines  Lines
		chunks []string
		want   []string
	}{
		{"all ends", Lines{}, []string{"a\nb\r\nc\rd\n\n  \r\n\re"}, []string{"a", "b", "c", "d"}},
		{"an end between chunks", Lines{}, []string{"a\r", "\nb", "c", "\n"}, []string{"a", "bc"}},
		{"a character between chunks", Lines{}, []string{"say r \xc3", "\xa9\n"}, []string{"say r é"}},
		{"a delimiter", Lines{Delimiter: "||"}, []string{"a|b||c|", "|d\r\n||"}, []string{"a|b", "c", "d\r\n"}},
		{"just long enough", Lines{Max: 3}, []string{"abc", "\nabc\n"}, []string{"abc", "abc"}},
		{"long, in one", Lines{Max: 3}, []string{"abcd\nx\n"}, []string{long, "x"}},
		{"long, reported once while it arrives", Lines{Max: 3}, []string{"ab", "cd", "efghijkl", "mn\nx\n"}, []string{long, "x"}},
		{"long, with a delimiter", Lines{Max: 3, Delimiter: "--"}, []string{"abc-", "-abc", "d-e", "ef-", "-x--"}, []string{"abc", long, "x"}},
		{"blank and long", Lines{Max: 3}, []string{"     \nx\n", "  ", "  ", " \ny\n"}, []string{long, "x", long, "y"}},
		{"not UTF-8", Lines{}, []string{"\xff\xfe\nx\n"}, []string{bad, "x"}},
		{"not UTF-8, reported once while it arrives", Lines{}, []string{"say r \xe2\x82", "(", "more \xff", "\nx\n"}, []string{bad, "x"}},
		{"half a character at the end", Lines{}, []string{"say r \xe2\x82\nx\n"}, []string{bad, "x"}},
		{"not UTF-8, then long", Lines{Max: 3}, []string{"a\xffcdef\nx\n"}, []string{bad, "x"}},
		{"long, then not UTF-8", Lines{Max: 3}, []string{"abcd\xff\nx\n"}, []string{long, "x"}},
		{"a delimiter that is not UTF-8", Lines{Delimiter: "\xff\xfe"}, []string{"é\xff", "\xfeb\xff\xfe"}, []string{"é", "b"}},
		{"Ctrl-D", Lines{}, []string{"ab", "\x04"}, []string{quit}},
		{"Ctrl-D in a line", Lines{}, []string{"a\x04\n"}, []string{"a\x04"}},
		{"telnet Ctrl-C", Lines{}, []string{"\xff\xf4\xff\xfd\x06"}, []string{quit}},
	} {
		if got := feed(&c.lines, c.chunks...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestLinesAreRefusedAtOnce checks that a fault in a line is reported with the chunk
// that contains it, not at the end of the line.
func TestLinesAreRefusedAtOnce(t *testing.T) {
	for _, c := range []struct{ chunk, want string }{{"say r \xed\xa0", "!" + ErrUTF8.Error()}, {"say r \xf4\x90", "!" + ErrUTF8.Error()}, {"say room", "!" + ErrLong.Error()}} {
		l := Lines{Max: 7}
		if c.want == "!"+ErrUTF8.Error() {
			l.Max = 100
		}
		if got := feed(&l, c.chunk); !reflect.DeepEqual(got, []string{c.want}) {
			t.Errorf("%q: got %q, want %q", c.chunk, got, c.want)
		}
	}
}

func TestLongLineIsNotKept(t *testing.T) {
	l := Lines{Max: 100}
	for range 1000 {
		feed(&l, strings.Repeat("x", 1000))
	}
	if cap(l.pending) > 2000 {
		t.Errorf("%d bytes of a refused line are kept", cap(l.pending))
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"say r hi there", "paramAdd a=b=c", `{"event":"say","room":"r","m":"x"}`, `{"action":"a","params":{"messageId":[1]}}`, "login", " x", "null", "-1", "{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseLine(line)
		if err == nil {
			checkRequest(t, r)
		}
	})
}

// FuzzLines checks that the lines do not depend on how the bytes are split into chunks.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nbc\rd\n\xc3\xa9\n"), uint8(1), uint8(3), "")
	f.Add([]byte("a||b|c||"), uint8(2), uint8(2), "||")
	f.Add([]byte("aabaaab"), uint8(1), uint8(9), "aab")
	f.Fuzz(func(t *testing.T, b []byte, size, limit uint8, delimiter string) {
		if size < 2 { // a chunk may be Ctrl-D
			size = 6
		}
		whole := Lines{Max: int(limit), Delimiter: delimiter}
		cut := whole
		want := feed(&whole, string(b)+" ", delimiterOf(&whole)) // never just Ctrl-C or Ctrl-D
		var got []string
		for rest := string(b) + " "; rest != ""; {
			n := min(int(size), len(rest))
			if c := rest[:n]; c == "\x04" || c == string(ctrlC) {
				return
			}
			got = append(got, feed(&cut, rest[:n])...)
			rest = rest[n:]
		}
		got = append(got, feed(&cut, delimiterOf(&cut))...)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("in chunks of %d: %q\nat once: %q", size, got, want)
		}
	})
}

func delimiterOf(l *Lines) string {
	if l.Delimiter == "" {
		return "\n"
	}
	return l.Delimiter
}

func BenchmarkLines(b *testing.B) {
	chunk := []byte(strings.Repeat("say lobby Hello you, how are you today?\r\n", 20))
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	var l Lines
	for b.Loop() {
		for range l.Feed(chunk) {
		}
	}
}

// TestBlankLinesAreCounted checks that Blank returns the number of blank lines, and
// that consecutive line ends do not count.
func TestBlankLinesAreCounted(t *testing.T) {
	for chunk, want := range map[string]int{"a\r\nb\r\n": 0, "\n\r\n\r": 0, " \n  \r\n\n \n": 3, " ": 0, "a\n \nb": 1} {
		var l Lines
		feed(&l, " \n")
		feed(&l, chunk)
		if got := l.Blank(); got != want {
			t.Errorf("%q: %d blank lines, want %d", chunk, got, want)
		}
	}
	l := Lines{Delimiter: "||"}
	if feed(&l, "||||\n||"); l.Blank() != 2 {
		t.Errorf("%d blank lines of another delimiter, want 2", l.Blank())
	}
}
