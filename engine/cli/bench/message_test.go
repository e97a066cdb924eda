package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestMessagesSayWhoSentThemAndWhen(t *testing.T) {
	const size = 100
	request, at := template(`the "room"`, "runrunru", size)
	want := header{sender: 0xabcdef, seq: 0xfedcba98, measured: true, at: 1<<47 + 5}
	want.put(request[at:])
	var say struct{ Event, Room, Message string }
	if err := json.Unmarshal(request, &say); err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	if say.Event != "say" || say.Room != `the "room"` || len(say.Message) != size {
		t.Errorf("the request is %s", request)
	}
	payload := []byte(`{"message":"` + say.Message + `","room":"r"}`)
	text, ours := bytes.CutPrefix(payload, beginning("runrunru"))
	got, ok := parseHeader(text)
	if !ours || !ok || got != want {
		t.Errorf("%s holds %+v (%v, %v); want %+v", payload, got, ours, ok, want)
	}
	if bytes.HasPrefix(payload, beginning("anotherr")) {
		t.Error("a message passes for one of another run")
	}
}

func TestChangedMessagesAreNotUnderstood(t *testing.T) {
	b := make([]byte, digits)
	header{}.put(b)
	for _, text := range []string{"", string(b[:digits-1]), strings.Replace(string(b), "0", "*", 1), strings.ToUpper(strings.Replace(string(b), "0", "a", 1))} {
		if h, ok := parseHeader([]byte(text)); ok {
			t.Errorf("%q is understood as %+v", text, h)
		}
	}
}

func TestSmallestMessageIsItsHeader(t *testing.T) {
	request, _ := template("r", "runrunru", MinSize)
	if !bytes.Contains(request, []byte(magic+"runrunru"+strings.Repeat("0", digits)+`"}`)) {
		t.Errorf("the request is %s", request)
	}
}
