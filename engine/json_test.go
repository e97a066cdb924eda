package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// takesJSON lets all rooms but q take JSON messages, and keeps their history.
func takesJSON(c *engine.Config) {
	c.Tenants[0].Rooms = []engine.RoomSettings{
		{Match: func(room string) bool { return room == "q" }},
		{JSON: true, Retention: cluster.Retention{Messages: 10, For: time.Hour}},
	}
}

func sayValue(room, value string) string {
	return `{"event":"say","room":"` + room + `","message":` + value + `,"messageId":1}`
}

// TestARoomTakesJSONMessages checks that rules, members on all transports, and the history of the
// room have a client's object as JSON.
func TestARoomTakesJSONMessages(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takesJSON)
		a, b := n.client(), n.socket()
		a.do(roomAdd("r"))
		b.do("roomAdd r")
		var asked []wire.Message
		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict {
			asked = append(asked, ev.Message)
			return allow()
		})
		n.mw.Say = func(ev *hook.Event, _ []hook.Member) hook.Delivery {
			asked = append(asked, ev.Message)
			return hook.Delivery{All: hook.AsIs}
		}
		object := `{"text":"a \"b\"","n":[1.50,{}]}`
		a.Run(sayValue("r", `{ "t\u0065xt" : "a \u0022b\u0022", "n":[1.50, {}] }`))
		b.Run(sayValue("r", `[1, "x"]`))
		for i, want := range []string{object, object, `[1,"x"]`, `[1,"x"]`} {
			if i >= len(asked) || asked[i] != (wire.Message{Text: want, JSON: true}) {
				w.Fatalf("rules were asked about %+v, want %s as JSON", asked, want)
			}
		}
		for _, c := range []*client{a, b} {
			if heard := strings.Join(c.heard(), "\n"); !strings.Contains(heard, `{"message":`+object+`,"room":"r"`) || !strings.Contains(heard, `{"message":[1,"x"],"room":"r"`) {
				w.Errorf("received %s", heard)
			}
		}
		a.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		if heard := a.heard(); len(heard) != 1 || !strings.Contains(heard[0], `"messages":[{"message":`+object+`,`) {
			w.Errorf("the history is %s", heard)
		}
	})
}

func TestJSONMessagesAreRefusedWithTheReason(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takesJSON, func(c *engine.Config) { c.Limits.MessageBytes = 1000 })
		deepest := strings.Repeat("[", 32) + strings.Repeat("]", 32)
		for _, c := range []*client{n.client(), n.socket()} {
			c.do(roomAdd("r"), roomAdd("q"))
			for _, test := range []struct{ room, value, want string }{
				{"q", `{"a":1}`, "message must be a text: this room takes no JSON messages (rooms.settings: json)"},
				{"q", `["a"]`, "this room takes no JSON messages (rooms.settings: json)"},
				{"q", `"a"`, `{"message":"a","room":"q"`},
				{"q", `17`, `{"message":"17","room":`},
				{"r", `17`, `{"message":"17","room":`},
				{"r", deepest, `{"message":[[[[`},
				{"r", "[" + deepest + "]", "message is nested deeper than 32 levels"},
				{"r", `["` + strings.Repeat("x", 1000) + `"]`, "message too large"},
				{"elsewhere", `{"a":1}`, "not in this room (elsewhere)"},
			} {
				c.Run(sayValue(test.room, test.value))
				if heard := strings.Join(c.heard(), "\n"); !strings.Contains(heard, test.want) {
					w.Errorf("%s to %s: received %s, want %s", test.value, test.room, heard, test.want)
				}
			}
		}
	})
}

// TestClientsOfActionHeroSendTexts checks that an object at /primus becomes a text in rooms with
// json as well.
func TestClientsOfActionHeroSendTexts(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takesJSON)
		c, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{}, func(i *engine.Info) { i.ActionHero = true })
		if err != nil {
			w.Fatal(err)
		}
		c.do(roomAdd("r"))
		for value, want := range map[string]string{`{"a":1}`: `"message":"[object Object]"`, `[1,[2]]`: `"message":"1,2"`, strings.Repeat("[", 40) + strings.Repeat("]", 40): "both room and message are required"} {
			c.Run(sayValue("r", value))
			if heard := strings.Join(c.heard(), "\n"); !strings.Contains(heard, want) {
				w.Errorf("%s: received %s, want %s", value, heard, want)
			}
		}
	})
}
