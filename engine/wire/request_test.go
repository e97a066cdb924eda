package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

func TestRequestsAreReadAsActionHeroDoes(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  Request
	}{
		{`{"event":"say","room":"r","message":"hi","messageId":7}`,
			Request{Verb: "say", ID: raw("7"), Room: "r", RoomGiven: true, Text: "hi", Data: raw(`{"message":"hi"}`)}},
		{`{"message":"hi","extra":"there","n":5,"room":"r","event":"say"}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: "hi there 5", Data: raw(`{"message":"hi","extra":"there","n":5}`)}},
		{`{"event":"say","message":"hi","n":1,"o":2}`, // no room: the first other word is
			Request{Verb: "say", Room: "hi", RoomGiven: true, Text: "1 2", Data: raw(`{"message":"hi","n":1,"o":2}`)}},
		{`{"event":"say","room":"r","message":{"a":1}}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: "[object Object]", Structured: `{"a":1}`, Depth: 1, Data: raw(`{"message":{"a":1}}`)}},
		{`{"event":"say","room":"r","message":{ "\u0061" : [ 1.50, "\/\ud800 \"" ] , "a":{} }}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: "[object Object]", Structured: "{\"a\":[1.50,\"/\uFFFD \\\"\"],\"a\":{}}", Depth: 2,
				Data: raw(`{"message":{ "\u0061" : [ 1.50, "\/\ud800 \"" ] , "a":{} }}`)}},
		{`{"event":"roomAdd","room":"r","message":{"a":1}}`, // only say has messages
			Request{Verb: "roomAdd", Room: "r", RoomGiven: true, Text: "[object Object]", Data: raw(`{"message":{"a":1}}`)}},
		{`{"event":"say","room":"r","message":["x",["y",null,2.50],{}]}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: "x,y,,2.5,[object Object]", Structured: `["x",["y",null,2.50],{}]`, Depth: 2, Data: raw(`{"message":["x",["y",null,2.50],{}]}`)}},
		{`{"event":"say","room":"r","message":null,"x":true}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: " true", Data: raw(`{"message":null,"x":true}`)}},
		{`{"event":"roomAdd"}`, Request{Verb: "roomAdd", Data: raw(`{}`)}},
		{`{"event":"roomAdd","room":""}`, Request{Verb: "roomAdd", RoomGiven: true, Data: raw(`{"room":""}`)}},
		{`{"event":"roomAdd","room":null}`, Request{Verb: "roomAdd", RoomGiven: true, Data: raw(`{"room":null}`)}},
		{`{"event":"roomAdd","room":42}`, Request{Verb: "roomAdd", Room: "42", RoomGiven: true, Data: raw(`{}`)}},
		{`{"event":"say","room":0,"message":"m"}`,
			Request{Verb: "say", RoomGiven: true, Text: "m", Data: raw(`{"room":0,"message":"m"}`)}},
		{`{"event":"detailsView","messageId":0}`, Request{Verb: "detailsView", Data: raw(`{}`)}},
		{`{"event":"detailsView","messageId":-0.0e9}`, Request{Verb: "detailsView", Data: raw(`{}`)}},
		{`{"event":"detailsView","messageId":""}`, Request{Verb: "detailsView", Data: raw(`{}`)}},
		{`{"event":"detailsView","messageId":false}`, Request{Verb: "detailsView", Data: raw(`{}`)}},
		{`{"event":"detailsView","messageId":"0"}`, Request{Verb: "detailsView", ID: raw(`"0"`), Data: raw(`{}`)}},
		{"{\"event\":\"detailsView\",\"messageId\":{\"a\":[1,\n2]}}", Request{Verb: "detailsView", ID: raw(`{"a":[1,2]}`), Data: raw(`{}`)}},
		{`{"\u0065vent":"s\u0061y","room":"\ud83d\ude00","m":"a\n\"\\\/\b\f\r\tz\ud800"}`,
			Request{Verb: "say", Room: "😀", RoomGiven: true, Text: "a\n\"\\/\b\f\r\tz\uFFFD", Data: raw(`{"m":"a\n\"\\\/\b\f\r\tz\ud800"}`)}},
		{`{"event":"x","event":"say","room":"a","room":"b","m":"1","n":"2","m":"3"}`, // the last value counts, at the first place
			Request{Verb: "say", Room: "b", RoomGiven: true, Text: "3 2", Data: raw(`{"m":"3","n":"2"}`)}},
		{`null`, Request{}}, {`[]`, Request{}}, {`5`, Request{}}, {`"say"`, Request{}}, {`[{"event":"say"}]`, Request{}},
		{`{}`, Request{Data: raw(`{}`)}},
		{`{"event":5}`, Request{Verb: "5", Data: raw(`{}`)}},
		{`{"event":null}`, Request{Verb: "null", Data: raw(`{}`)}},
		{`{"event":{}}`, Request{Verb: "[object Object]", Data: raw(`{}`)}},
		{`{"event":["say"]}`, Request{Verb: "say", Data: raw(`{}`)}},
		{`{"event":"file","file":{"a":1}}`,
			Request{Verb: "file", Room: "[object Object]", RoomGiven: true, Data: raw(`{"file":{"a":1}}`)}},

		// Actions.
		{`{"event":"action","messageId":1,"params":{"action":"login","token":"t"}}`,
			Request{Verb: "action", ID: raw("1"), Action: "login", Params: raw(`{"action":"login","token":"t"}`)}},
		{`{"event":"action","params":{"messageId":"m","action":7}}`,
			Request{Verb: "action", ID: raw(`"m"`), Action: "7", Params: raw(`{"messageId":"m","action":7}`)}},
		{`{"event":"action","params":"login"}`, Request{Verb: "action", Params: raw(`{}`)}},
		{`{"event":"action"}`, Request{Verb: "action"}},

		// Fields that ActionHero does not have.
		{`{"event":"resume","session":"n-1","since":{"r":{"epoch":"e","offset":7},"q\u0061":{"offset":0,"epoch":""}},"x":1}`,
			Request{Verb: "resume", Session: "n-1", Sinces: map[string]Position{"r": {"e", 7}, "qa": {}}, Room: "1", RoomGiven: true,
				Data: raw(`{"since":{"r":{"epoch":"e","offset":7},"q\u0061":{"offset":0,"epoch":""}},"x":1}`)}},
		{`{"event":"resume","session":null,"since":{}}`,
			Request{Verb: "resume", Sinces: map[string]Position{}, Data: raw(`{"since":{}}`)}},
		{`{"event":"resume","session":["x"]}`, Request{Verb: "resume", Fault: "session must be a string", Data: raw(`{}`)}},
		{`{"event":"resume","since":{"r":{"epoch":"e"}}}`,
			Request{Verb: "resume", Sinces: map[string]Position{}, Fault: `since must be {room:{"epoch":string,"offset":whole number}}`, Data: raw(`{"since":{"r":{"epoch":"e"}}}`)}},
		{`{"event":"say","room":"r","message":"hi","key":"k1"}`,
			Request{Verb: "say", Room: "r", RoomGiven: true, Text: "hi", Key: "k1", Data: raw(`{"message":"hi","key":"k1"}`)}},
		{`{"event":"roomView","room":"r","limit":10,"cursor":"c"}`,
			Request{Verb: "roomView", Room: "r", RoomGiven: true, Limit: 10, Cursor: "c", Data: raw(`{"limit":10,"cursor":"c"}`)}},
		{`{"event":"roomView","room":"r","limit":"ten"}`,
			Request{Verb: "roomView", Room: "r", RoomGiven: true, Fault: "limit must be a whole number", Data: raw(`{"limit":"ten"}`)}},
		{`{"event":"roomAdd","room":"r","since":{"epoch":"e","offset":18446744073709551615},"presence":true}`,
			Request{Verb: "roomAdd", Room: "r", RoomGiven: true, Since: &Position{"e", 1<<64 - 1}, Presence: true,
				Data: raw(`{"since":{"epoch":"e","offset":18446744073709551615},"presence":true}`)}},
		{`{"event":"roomAdd","room":"r","since":{"epoch":"e"}}`,
			Request{Verb: "roomAdd", Room: "r", RoomGiven: true, Fault: `since must be {"epoch":string,"offset":whole number}`, Data: raw(`{"since":{"epoch":"e"}}`)}},
		{`{"event":"roomAdd","room":"r","since":null}`, Request{Verb: "roomAdd", Room: "r", RoomGiven: true, Data: raw(`{"since":null}`)}},
		{`{"event":"roomHistory","room":"r","limit":3,"before":9}`,
			Request{Verb: "roomHistory", Room: "r", RoomGiven: true, Limit: 3, Before: 9, Data: raw(`{"limit":3,"before":9}`)}},
		{`{"event":"auth","token":"secret","x":1}`, Request{Verb: "auth", Token: "secret", Room: "1", RoomGiven: true, Data: raw(`{"x":1}`)}},
	} {
		got, err := ParseRequest([]byte(c.frame))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", c.frame, got, err, c.want)
		}
	}
}

func TestNumbersArePrintedAsJavaScriptDoes(t *testing.T) {
	for in, want := range map[string]string{
		"1.0": "1", "1e3": "1000", "-0": "0", "0.1": "0.1", "1e21": "1e+21", "123456789012345678901": "123456789012345680000",
		"1e-6": "0.000001", "1e-7": "1e-7", "1.5e-10": "1.5e-10", "-1e400": "-Infinity", "1e400": "Infinity", "1e-400": "0", "1e100": "1e+100",
	} {
		r, err := ParseRequest([]byte(`{"event":"say","room":"r","m":` + in + `}`))
		if err != nil || r.Text != want {
			t.Errorf("%s is %q, %v; want %q", in, r.Text, err, want)
		}
	}
}

func TestBrokenFramesAreRefused(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	for frame, want := range map[string]error{
		"": ErrJSON, "{": ErrJSON, "nul": ErrJSON, "{} {}": ErrJSON, `{"a":1,}`: ErrJSON, `{"a"}`: ErrJSON, `[1,]`: ErrJSON, "01": ErrJSON,
		"1.": ErrJSON, "1e": ErrJSON, "-": ErrJSON, "\"a\nb\"": ErrJSON, `"\x"`: ErrJSON, `"\u12g4"`: ErrJSON, `"\`: ErrJSON, `{a:1}`: ErrJSON,
		"\"\xff\"": ErrUTF8, "[" + deep + "]": ErrDepth, strings.Repeat(`{"a":`, 100000): ErrDepth, deep: nil, " {} \r\n": nil,
	} {
		if _, err := ParseRequest([]byte(frame)); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", frame, err, want)
		}
	}
}

// TestManyMembers checks that parsing many members does not take quadratic time.
func TestManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"event":"say"`)
	for i := range 5000 {
		b.WriteString(`,"` + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + `":"w"`)
	}
	b.WriteString(`}`)
	r, err := ParseRequest([]byte(b.String()))
	if words := len(strings.Fields(r.Text)) + 1; err != nil || words != 650 { // lcm(50, 26)
		t.Errorf("%d distinct words, %v", words, err)
	}
}

func TestRequestDoesNotShareMemoryWithItsFrame(t *testing.T) {
	frame := []byte(`{"event":"say","room":"room","message":"text","messageId":"id"}`)
	r, err := ParseRequest(frame)
	for i := range frame {
		frame[i] = 'z'
	}
	if want := (Request{Verb: "say", ID: raw(`"id"`), Room: "room", RoomGiven: true, Text: "text", Data: raw(`{"message":"text"}`)}); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"event":"say","room":"r","message":"hi","messageId":7}`, `{"event":"roomAdd","room":"r","since":{"epoch":"e","offset":3},"presence":true}`,
		`{"event":"action","params":{"action":"x"}}`, `null`, `[1,"a",{}]`, "{\"\\u0065vent\":5,\"a\":1e-7,\"a\":[\"\\ud800\"]}", `{"event":"auth","token":"t"}`,
		`{"event":"resume","session":"n-1","since":{"r":{"epoch":"e","offset":3}}}`, `{"event":"roomHistory","room":"r","before":9,"limit":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := ParseRequest(frame)
		if err == nil && !json.Valid(frame) {
			t.Fatal("accepted invalid JSON")
		}
		if err == ErrJSON && json.Valid(frame) {
			t.Fatal("refused valid JSON")
		}
		if err != nil {
			return
		}
		checkRequest(t, r)
		if r.Verb != "action" && r.Data != nil && !json.Valid(r.Data) {
			t.Fatalf("echo %q", r.Data)
		}
	})
}

// checkRequest checks invariants of a request.
func checkRequest(t *testing.T, r Request) {
	t.Helper()
	for _, s := range []string{r.Verb, r.Room, r.Text, r.Key, r.Value, r.Action, r.Cursor, r.Token} {
		if strings.ToValidUTF8(s, "") != s {
			t.Fatalf("%+v: text that is not UTF-8", r)
		}
	}
	if r.ID != nil && (!json.Valid(r.ID) || strings.ContainsAny(string(r.ID), "\r\n") || falsy(r.ID)) {
		t.Fatalf("messageId %q", r.ID)
	}
	if r.Params != nil && (!json.Valid(r.Params) || r.Params[0] != '{') {
		t.Fatalf("params %q", r.Params)
	}
	for _, d := range []Dialect{WebSocket, Socket} {
		checkLine(t, d.AppendResponse(nil, Response{ID: r.ID, Error: r.Verb, Request: r.Data}))
	}
}

func checkLine(t *testing.T, b []byte) {
	t.Helper()
	if !json.Valid(b) || strings.ContainsAny(string(b), "\r\n\u2028\u2029") || strings.ToValidUTF8(string(b), "") != string(b) {
		t.Fatalf("not one line of JSON: %q", b)
	}
}

func BenchmarkParseSay(b *testing.B) {
	frame := []byte(`{"event":"say","room":"lobby","message":"` + strings.Repeat("Hello you. ", 13) + `","messageId":17}`)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(frame); err != nil {
			b.Fatal(err)
		}
	}
}
