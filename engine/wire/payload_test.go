package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestResponsesHaveActionHerosShape(t *testing.T) {
	for _, c := range []struct {
		d    Dialect
		r    Response
		want string
	}{
		{WebSocket, Response{ID: raw("1"), Data: raw("true")}, `{"status":"OK","context":"response","data":true,"messageId":1}`},
		{Socket, Response{ID: raw(`"a"`), Data: raw("[1,\n2]")}, `{"status":"OK","context":"response","data":[1,2],"messageId":"a"}`},
		{WebSocket, Response{ID: raw("1")}, `{"status":"OK","context":"response","messageId":1}`},
		{WebSocket, Response{ID: raw("2"), Error: "room does not exist", Request: raw(`{"x":1}`)},
			`{"status":"Error: room does not exist","error":"Error: room does not exist","context":"response","data":{"x":1},"messageId":2}`},
		{WebSocket, Response{Error: "invalid JSON"}, `{"status":"Error: invalid JSON","error":"Error: invalid JSON","context":"response","data":{}}`},
		{Socket, Response{ID: raw("2"), Error: "room does not exist", Request: raw(`{"x":1}`)}, `{"error":"room does not exist","context":"response","messageId":2}`},
		{Socket, Response{ID: raw("2"), Error: "rate limit exceeded", RetryAfter: 40}, `{"error":"rate limit exceeded","context":"response","retryAfter":40,"messageId":2}`},
		{Socket, Response{ID: raw("2"), Error: "slow down", Code: 429, RetryAfter: 40}, `{"error":"slow down","context":"response","code":429,"retryAfter":40,"messageId":2}`},
		{WebSocket, Response{ID: raw("2"), Error: "slow down", Code: 1<<32 - 1}, `{"status":"Error: slow down","error":"Error: slow down","context":"response","data":{},"code":4294967295,"messageId":2}`},
		{WebSocket, Response{ID: raw("2"), Action: true, Error: "slow down", Code: 429}, `{"error":"slow down","context":"response","code":429,"messageId":2}`},
		{WebSocket, Response{ID: raw("3"), Action: true, Reply: raw("{ \"a\":1,\r\n \"b\":\"\u2028\" }")}, `{"a":1, "b":"\u2028","context":"response","messageId":3}`},
		{Socket, Response{ID: raw("3"), Action: true, Reply: raw(`{}`)}, `{"context":"response","messageId":3}`},
		{WebSocket, Response{ID: raw("3"), Action: true, Error: "no"}, `{"error":"no","context":"response","messageId":3}`},
	} {
		got := string(c.d.AppendResponse([]byte("x"), c.r))
		if got != "x"+c.want {
			t.Errorf("got %s\nwant %s", got[1:], c.want)
		}
	}
	if got := string(AppendWelcome(nil, "Hi <you>")); got != `{"welcome":"Hi <you>","context":"api"}` {
		t.Error(got)
	}
}

func TestPayloads(t *testing.T) {
	for _, c := range []struct {
		p    Payload
		want string
	}{
		{Payload{Message: Message{Text: "hi <b>&\u2028\"\\\n\x01\x7f\xff"}, Room: "r", From: "0", Context: "user", SentAt: 12},
			`{"message":"hi <b>&\u2028\"\\\n\u0001` + "\x7f\uFFFD" + `","room":"r","from":"0","context":"user","sentAt":12}`},
		{Payload{Message: Message{Text: "{\"a\":\n\"\u2029\"}", JSON: true}, Room: "r", From: "id", Context: "user", SentAt: -1, Extra: raw(`{ "x" : [1] }`)},
			`{"message":{"a":"\u2029"},"room":"r","from":"id","context":"user","sentAt":-1,"x" : [1]}`},
		{Payload{ID: "i1", User: "an\"n", Held: "h1", Message: Message{Text: "hi"}, Extra: raw(`{"x":1}`)},
			`{"message":"hi","room":"","from":"","context":"","sentAt":0,"id":"i1","user":"an\"n","held":"h1","x":1}`},
		{Payload{Message: Message{Text: "hi"}, At: Position{Epoch: "e\"1", Offset: 1 << 60}, Extra: raw(`{"x":1}`)},
			`{"message":"hi","room":"","from":"","context":"","sentAt":0,"x":1,"offset":1152921504606846976,"epoch":"e\"1"}`},
		{Payload{Message: Message{Text: "{", JSON: true}, Extra: raw(`{"room":"other"}`)}, // neither is valid
			`{"message":"{","room":"","from":"","context":"","sentAt":0}`},
	} {
		got := AppendPayload(nil, c.p)
		if string(got) != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
		checkLine(t, got)
	}
}

func TestPayloadRoundTrip(t *testing.T) {
	for _, p := range []Payload{
		{ID: "i1", User: "ann \"a\"", Held: "h\"1", Message: Message{Text: "hi \"you\"\u2028"}, Room: "r", From: "0", Context: "user", SentAt: 1700000000000},
		{User: "ann", Message: Message{Text: `{"a":[1,2.50]}`, JSON: true}, Room: "r", From: "0", Context: "other", SentAt: 1, Extra: raw(`{"x":1,"y":{"z":"é"}}`)},
		{ID: "i2", Message: Message{Text: "null", JSON: true}, SentAt: -5},
	} {
		got, err := ParsePayload(AppendPayload(nil, p))
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, p)
		}
	}
}

func TestPayloadsThatAreNotValidAreRefused(t *testing.T) {
	const good = `"message":"m","room":"r","from":"0","context":"user","sentAt":1`
	for _, s := range []string{
		``, `[]`, `{}`, `{"message":"m","room":"r","from":"0","context":"user"}`, `{` + good + `,"messageId":1}`,
		strings.Replace(`{`+good+`}`, `"r"`, `5`, 1), strings.Replace(`{`+good+`}`, `:1`, `:1.5`, 1), `{` + good, "{" + good + ",\"x\":\"\xff\"}",
	} {
		if p, err := ParsePayload([]byte(s)); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: %+v, %v", s, p, err)
		}
	}
}

func TestReservedNames(t *testing.T) {
	for _, name := range reserved {
		for _, object := range []string{`{"` + name + `":1}`, `{"a":1,"\u00` + "" + hexOf(name[0]) + name[1:] + `":1}`} {
			if CheckExtra(raw(object)) == nil || CheckReply(raw(object)) == nil {
				t.Errorf("%s is accepted", object)
			}
		}
	}
	for _, name := range reservedInExtra {
		if object := raw(`{"` + name + `":1}`); CheckExtra(object) == nil || CheckReply(object) != nil {
			t.Errorf("%s is accepted in extra, or refused in a reply", object)
		}
	}
	for _, object := range []string{`[]`, `{`, `1`, ` `} {
		if CheckExtra(raw(object)) == nil {
			t.Errorf("%s is accepted", object)
		}
	}
	if err := CheckExtra(raw(` {"a":{"room":1}} `)); err != nil {
		t.Error(err)
	}
}

// TestPayloadsOfEarlierVersions checks that payloads in which rules used names that are now
// reserved can be read: strings become the id and the user, and other values are left out.
func TestPayloadsOfEarlierVersions(t *testing.T) {
	const good = `"message":"m","room":"r","from":"0","context":"user","sentAt":1`
	for text, want := range map[string]Payload{
		`{` + good + `}`: {},
		`{` + good + `,"user":"ann","id":"i","held":"h"}`:       {ID: "i", User: "ann", Held: "h"},
		`{` + good + `,"user":{"name":"ann"},"id":7,"held":[]}`: {},
		`{` + good + `,"id":null,"x":1}`:                        {Extra: raw(`{"x":1}`)},
	} {
		want.Message, want.Room, want.From, want.Context, want.SentAt = Message{Text: "m"}, "r", "0", "user", 1
		if p, err := ParsePayload([]byte(text)); err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

// TestPlainPayloads checks that AppendPlain leaves out the id and the user alone.
func TestPlainPayloads(t *testing.T) {
	at := Position{Epoch: "e", Offset: 7}
	for _, p := range []Payload{{}, {ID: "i"}, {User: "a\"\\,b"}, {ID: "i", User: "\u2028"}} {
		p.Message, p.Room, p.Extra = Message{Text: `"message":`}, "r", raw(`{"x":1}`)
		payload := AppendPayload(nil, p)
		p.ID, p.User = "", ""
		for _, p.At = range []Position{{}, at} {
			if got, want := AppendPlain(nil, payload, p.At), AppendPayload(nil, p); string(got) != string(want) {
				t.Errorf("got %s\nwant %s", got, want)
			}
		}
	}
	for _, odd := range []string{"", "{", "{}", "[1]", "x", "}"} {
		if got := AppendPlain(nil, []byte(odd), at); string(got) != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}

func hexOf(c byte) string { return string([]byte{hexDigits[c>>4], hexDigits[c&15]}) }

func TestRoomNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"r": true, "a room/über:1": true, strings.Repeat("x", 200): true,
		"": false, strings.Repeat("x", 201): false, "a\nb": false, "\x7f": false, "\u0085": false, "\xff": false,
	} {
		if err := ValidRoom(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestPlacedPayloads checks that AppendPlaced adds a position in the same place as
// AppendPayload, and that it does not change payloads that are not objects.
func TestPlacedPayloads(t *testing.T) {
	at := Position{Epoch: "e", Offset: 7}
	p := Payload{Message: Message{Text: "hi"}, Room: "r", From: "0", Context: "user", SentAt: 5, Extra: raw(`{"x":1}`)}
	plain := AppendPayload(nil, p)
	p.At = at
	want := AppendPayload(nil, p)
	if got := AppendPlaced(nil, plain, at); string(got) != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := FramePlaced(plain, at).Line(); string(got) != string(want)+"\r\n" {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for _, odd := range []string{"", "{}", "}", "[1]", "x"} {
		if got := AppendPlaced(nil, []byte(odd), at); string(got) != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("", "", "hi", false, "r", "0", "user", int64(5), "")
	f.Add("i", "ann", `{"a":1}`, true, "r\u2028", "\xff", "user", int64(-5), `{"x":1,"x":2,"message":5}`)
	f.Add("", "\"\\", "{\n}", true, "", "", "", int64(0), "{\"y\":\n[]}")
	f.Add("i", "", "hi", false, "r", "0", "user", int64(5), `{"": []}`)
	f.Fuzz(func(t *testing.T, id, user, text string, isJSON bool, room, from, context string, at int64, extra string) {
		first := AppendPayload(nil, Payload{ID: id, User: user, Held: id, EditedAt: at, EditedBy: user, Message: Message{text, isJSON}, Room: room, From: from, Context: context, SentAt: at, Extra: raw(extra)})
		checkLine(t, first)
		p, err := ParsePayload(first)
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		// A parsed payload does not change if it is encoded and parsed again.
		second := AppendPayload(nil, p) // without the space between tokens that Extra had
		again, err := ParsePayload(second)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%v:\n%+v\n%+v", err, p, again)
		}
		// A position changes no other part of the payload.
		position := Position{Epoch: room, Offset: uint64(at)}
		placed := AppendPlaced(nil, second, position)
		if p.At = position; string(placed) != string(AppendPayload(nil, p)) {
			t.Fatalf("%s\nbecame %s", second, placed)
		}
		checkLine(t, placed)
		checkLine(t, AppendPlaced(nil, first, position))
		// Only the members that ActionHero does not have are left out for its clients.
		plain := p
		plain.SetOrigin(&Payload{})
		if got := AppendPlain(nil, second, position); string(got) != string(AppendPayload(nil, plain)) {
			t.Fatalf("%s\nbecame %s", second, got)
		}
		// Arbitrary bytes cause no panic and no invalid Extra.
		if p, err := ParsePayload([]byte(text)); err == nil && p.Extra != nil && CheckExtra(p.Extra) != nil {
			t.Fatalf("%q gave %q", text, p.Extra)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\u2028\xff\x00<é")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		checkLine(t, b)
		var back string
		if err := json.Unmarshal(b, &back); err != nil || back != string([]rune(s)) {
			t.Fatalf("%q came back as %q, %v", s, back, err)
		}
	})
}

func BenchmarkAppendPayload(b *testing.B) {
	p := Payload{Message: Message{Text: strings.Repeat("Hello you. ", 13)}, Room: "lobby", From: "3f2b7c0e-1111-4c4c-9b9b-0123456789ab", Context: "user", SentAt: 1700000000000}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendPayload(dst[:0], p)
	}
}

func BenchmarkParsePayload(b *testing.B) {
	text := AppendPayload(nil, Payload{Message: Message{Text: strings.Repeat("Hello you. ", 13)}, Room: "lobby", From: "3f2b7c0e-1111-4c4c-9b9b-0123456789ab", Context: "user", SentAt: 1700000000000, Extra: raw(`{"x":1}`)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePayload(text); err != nil {
			b.Fatal(err)
		}
	}
}
