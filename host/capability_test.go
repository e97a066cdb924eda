package host

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// hall is a node with one room.
type hall struct{ err error }

func (h hall) Members(_ context.Context, room cluster.RoomID) (int, error) {
	if room != (cluster.RoomID{Tenant: "t", Room: "r"}) && h.err == nil {
		return 0, cluster.ErrNoRoom
	}
	return 7, h.err
}

func TestHostFunctions(t *testing.T) {
	h, log := start(t, Config{Rooms: hall{}}, goEntry(`{"say": "receivers", "manifest": {"reads": ["message", "properties.mood"]}}`))
	for _, c := range [][2]string{
		{"config say", `"receivers"`},
		{"config none", "-1"},
		{"config " + strings.Repeat("x", 257), "-5"},
		{"property mood", `"good"`},
		{"property role", "-1"}, // not in the manifest's reads
		{"property none", "-1"},
		{"members r", `{"room":"r","membersCount":7}`},
		{"members q", "-1"},
		{"size", "7"},
		{"kvget k", "-1"},
		{"kvset k v1", "0"},
		{"kvget k", "v1"},
		{"kvcas k v2 v3", "0"},
		{"kvcas k v1 v2", "1"},
		{"kvget k", "v2"},
		{"kvadd k 1", "-6"}, // not a number
		{"kvdel k", "1"},
		{"kvdel k", "0"},
		{"kvadd n 5", "5"},
		{"kvadd n -2", "3"},
		{"kvget n", "3"},
		{"kvset  v", "-4"}, // no key
		{"take b", "0"},
		{"take b", "0"},
		{"take c", "0"},
		{"metric m", "0"},
		{"random", "0"},
		{"set", "-2"},
		{"set level 1", "-2"},     // not granted
		{"set role \"x\"", "-2"},  // a claim
		{"set mood {", "-4"},      // not JSON
		{"create a\x00b", "-4"},   // not a name
		{"emit r" + "\xff", "-4"}, // not UTF-8
	} {
		if _, ev := decide(h, c[0]); ev.Message.Text != c[1] {
			t.Errorf("%s: %s, want %s", c[0], ev.Message.Text, c[1])
		}
	}
	_, ev := decide(h, "take b")
	if wait, _ := strconv.Atoi(ev.Message.Text); wait < 1 || wait > 1000 {
		t.Errorf("an empty bucket: %s ms", ev.Message.Text)
	}
	_, ev = decide(h, "now")
	if s, _ := strconv.Atoi(ev.Message.Text); time.Since(time.Unix(int64(s), 0)).Abs() > 5*time.Second {
		t.Errorf("now is %s", ev.Message.Text)
	}
	if decide(h, "log its words"); !strings.Contains(log.String(), `msg="its words" module=go@`) {
		t.Errorf("not in the log:\n%s", log)
	}
	if s := h.Stats()[0]; s.Metrics["m"] != 2 {
		t.Errorf("%+v", s)
	}
}

func TestRoomSizesMayBeUnavailable(t *testing.T) {
	for name, rooms := range map[string]Rooms{"nobody to ask": nil, "an error": hall{errors.New("no connection")}} {
		h, _ := start(t, Config{Rooms: rooms}, goEntry(`{}`))
		if _, ev := decide(h, "size"); ev.Message.Text != "-6" {
			t.Errorf("%s: %s", name, ev.Message.Text)
		}
	}
}

func TestEffectsComeWithTheChainsAllow(t *testing.T) {
	first := goEntry(`{}`)
	second := goEntry(`{}`)
	second.Priority = 1
	h, _ := start(t, Config{}, first, second)
	for say, want := range map[string][]hook.Effect{
		"set mood  \"bad\" ": {{Property: &hook.Property{Name: "mood", Value: json.RawMessage(`"bad"`)}}},
		"set mood":           {{Property: &hook.Property{Name: "mood"}}},
		"create q":           {{Room: &hook.RoomEffect{Name: "q"}}},
		"emit q hello you":   {{Emit: &hook.Emit{Room: "q", Message: wire.Message{Text: "hello you"}}}},
	} {
		v, _ := decide(h, say)
		if !reflect.DeepEqual(v.Effects, want) {
			t.Errorf("%s: %+v", say, v.Effects)
		}
	}
	v, ev := decide(h, "emits q x")
	if len(v.Effects) != 4 || ev.Message.Text != "4" {
		t.Errorf("%d emits, and it was called for %s", len(v.Effects), ev.Message.Text)
	}
	third := Entry{Module: "code-1", Priority: 2}
	swap(t, h, rulesFor(first, second, third))
	if v, _ := decide(h, "emit q x"); v.Outcome != hook.Denied || v.Effects != nil {
		t.Errorf("%+v", v)
	}
}

func TestAnEffectCausesNoOther(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	for _, text := range []string{"emit q x", "create q"} {
		ev := said(text)
		ev.Caused = true
		if v := h.Decide(context.Background(), ev); len(v.Effects) > 0 || ev.Message.Text != "-3" {
			t.Errorf("%+v %s", v, ev.Message.Text)
		}
	}
	if s := h.Stats()[0]; s.EffectsDropped != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSayReadsAndHasNoEffects(t *testing.T) {
	h, _ := start(t, Config{Rooms: hall{}}, goEntry(`{}`))
	decide(h, "kvset k v")
	for say, want := range map[string]string{
		"kvget k": "v", "kvset k w": "-2", "kvdel k": "-2", "kvadd n 1": "-2", "kvcas k v w": "-2", "take b": "-2",
		"emit r x": "-2", "create q": "-2", "set mood 1": "-2", "size": "-6", "property mood": "-1",
	} {
		if got := heard(t, h, say, crowd(1))[0]; got != want {
			t.Errorf("%s: %s, want %s", say, got, want)
		}
	}
}

func TestNamespacesAreApart(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	rules := rulesFor(goEntry(`{}`))
	rules.Tenants = append(rules.Tenants, Tenant{Name: "u", Chain: []Entry{goEntry(`{}`)}})
	swap(t, h, rules)
	decide(h, "kvset k mine")
	ev := said("kvget k")
	ev.Tenant = "u"
	if h.Decide(context.Background(), ev); ev.Message.Text != "-1" {
		t.Errorf("another tenant reads %s", ev.Message.Text)
	}
}
