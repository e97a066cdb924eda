package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

func TestResponsesOnTheWebSocket(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.client()
		a.says(`{"event":"roomAdd","room":"r","messageId":"abc"}`, `{"status":"OK","context":"response","data":true,"messageId":"abc"}`)
		a.says(`{"event":"roomAdd","room":"r","messageId":{"a":[1]}}`,
			`{"status":"Error: connection already in this room (r)","error":"Error: connection already in this room (r)","context":"response","data":{},"messageId":{"a":[1]}}`)
		a.says(roomView("r"), fmt.Sprintf(
			`{"status":"OK","context":"response","data":{"room":"r","members":{%q:{"id":%[1]q,"joinedAt":%s}},"membersCount":1},"messageId":1}`, a.ID(), now))
		a.says(say("r", "hello"), ok, chat("r", a.ID(), "hello"))
		a.says(event("detailsView"), fmt.Sprintf(`{"status":"OK","context":"response","data":{"id":%q,"fingerprint":%[1]q,"remoteIP":"10.0.0.1",`+
			`"remotePort":4000,"params":{},"connectedAt":%s,"rooms":["r"],"totalActions":0,"pendingActions":0},"messageId":1}`, a.ID(), now))
		a.says(event("say", `"room":"q","message":"x","extra":1`),
			`{"status":"Error: connection not in this room (q)","error":"Error: connection not in this room (q)","context":"response","data":{"message":"x","extra":1},"messageId":1}`)
		a.says(event("file", `"file":{"a":1}`),
			`{"status":"Error: verb not found or not allowed (file)","error":"Error: verb not found or not allowed (file)","context":"response","data":{"file":{"a":1}},"messageId":1}`)
		a.says(roomLeave("r"), isTrue)
		a.says(event("action", `"params":{"action":"nope"}`), `{"error":"unknown action or invalid apiVersion","context":"response","messageId":1}`)
		a.says(event("exit"), "bye quit (1000)")
	})
}

func TestResponsesOnTheSocket(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a := n.socket()
		a.do("paramAdd messageId=1")
		a.says("roomAdd r", `{"status":"OK","context":"response","data":true,"messageId":"1"}`)
		a.says("roomAdd r", `{"error":"connection already in this room (r)","context":"response","messageId":"1"}`)
		a.says("roomAdd nowhere", `{"error":"room does not exist","context":"response","messageId":"1"}`)
		a.says("roomAdd", `{"error":"room does not exist","context":"response","messageId":"1"}`)
		a.says("say r two  words ", `{"status":"OK","context":"response","messageId":"1"}`, chat("r", a.ID(), "two  words "))
		a.says("say r", `{"error":"both room and message are required","context":"response","messageId":"1"}`)
		a.says("say q hello", `{"error":"connection not in this room (q)","context":"response","messageId":"1"}`)
		a.says("roomView r", fmt.Sprintf(`{"status":"OK","context":"response","data":{"room":"r","members":{%q:{"id":%[1]q,"joinedAt":%s}},"membersCount":1},"messageId":"1"}`, a.ID(), now))
		a.says("roomLeave", `{"error":"connection not in this room (undefined)","context":"response","messageId":"1"}`)
		a.says("roomLeave r", `{"status":"OK","context":"response","data":true,"messageId":"1"}`)
		a.says("close", `{"error":"unknown action or invalid apiVersion","context":"response","messageId":"1"}`)
		a.says(`{"event":"roomAdd","room":"r","messageId":7}`, `{"status":"OK","context":"response","data":true,"messageId":7}`)
		a.says("quit now", "bye quit (1000)")
	})
}

func TestMessageIDIsMadeWhereThereIsNone(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("n").client()
		for _, request := range []string{`{"event":"detailsView"}`, `{"event":"detailsView","messageId":0}`, `{}`} {
			<-a.Begin(request)
			var r struct{ MessageID string }
			if err := json.Unmarshal([]byte(a.heard()[0]), &r); err != nil || len(r.MessageID) != 36 {
				w.Errorf("%s: messageId %q, %v", request, r.MessageID, err)
			}
		}
	})
}

func TestRejectAnswersInvalidRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b := n.client(), n.socket()
		a.Reject("invalid JSON", nil)
		a.hears(`{"status":"Error: invalid JSON","error":"Error: invalid JSON","context":"response","data":{}}`)
		b.Reject("DATA_LENGTH_TOO_LONG", json.RawMessage("3"))
		b.hears(`{"error":"DATA_LENGTH_TOO_LONG","context":"response","messageId":3}`)
	})
}

func TestInvalidRequestsCostAsMuchAsValidOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = 10 }).client()
		for range 20 {
			a.Reject("invalid JSON", nil)
		}
		a.heard()
		a.Reject("invalid JSON", nil)
		a.hears(`{"status":"Error: rate limit exceeded","error":"Error: rate limit exceeded","context":"response","data":{},"retryAfter":100}`)
	})
}

func TestATextLongerThanAMessageMayBeIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("n", func(c *engine.Config) { c.Limits.MessageBytes = 64 }).client().do(roomAdd("r"))
		a.says(say("r", strings.Repeat("x", 65)), strings.Replace(failed("message too large"), "{}", `{"message":"`+strings.Repeat("x", 65)+`"}`, 1))
		a.says(say("r", strings.Repeat("x", 64)), ok, chat("r", a.ID(), strings.Repeat("x", 64)))
	})
}

func TestRulesHearWhenAMemberJoined(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		heard := map[hook.Hook]int64{}
		for _, at := range []hook.Hook{hook.Join, hook.OnSayReceive, hook.Leave} {
			n.on(at, func(ev *hook.Event) hook.Verdict {
				heard[at] = ev.JoinedAt
				return allow()
			})
		}
		a := n.client().do(roomAdd("r"))
		joined := time.Now().UnixMilli()
		time.Sleep(time.Second)
		a.do(say("r", "x"), roomLeave("r"))
		if want := map[hook.Hook]int64{hook.Join: 0, hook.OnSayReceive: joined, hook.Leave: joined}; !maps.Equal(heard, want) {
			w.Errorf("joined at %v, want %v", heard, want)
		}
	})
}

func TestNothingIsDoneAfterQuit(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		a.Sink.Room(0) // the farewell cannot be sent yet
		<-a.Begin(event("quit"))
		<-a.Begin(say("r", "one more thing"))
		b.hears()
		time.Sleep(time.Second)
		<-a.Gone
	})
}

func TestRateLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = 10 })
		a := n.client().do(roomAdd("r")) // the burst is 20; 19 are left
		for range 9 {
			a.do(event("detailsView"), roomAdd("r")) // each request costs 0.1; 17.2 are left
		}
		for range 17 {
			a.do(event("roomView", `"room":"r"`))
		}
		a.says(say("r", "too many"), `{"status":"Error: rate limit exceeded","error":"Error: rate limit exceeded","context":"response","data":{"message":"too many"},"retryAfter":80,"messageId":1}`)
		a.says(event("action", `"params":{"action":"x"}`), `{"error":"rate limit exceeded","context":"response","retryAfter":80,"messageId":1}`)
		a.says(roomAdd("r"), failed("connection already in this room (r)"))
		if got := n.Stats().RateLimited; got != 2 {
			w.Errorf("%d verbs were refused, want 2", got)
		}
		time.Sleep(90 * time.Millisecond)
		a.says(say("r", "now"), ok, strings.Replace(chat("r", a.ID(), "now"), "800000}", "800090}", 1))
	})
}

// TestAFloodIsHeldUp checks that a client that sends without pause is read at about the
// rate of its limit.
func TestAFloodIsHeldUp(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = 10 })
		a := n.client()
		for name, flood := range map[string]func(){
			"requests that are none": func() { a.Reject("invalid JSON", nil) },
			"verbs":                  func() { <-a.Begin(event("roomView", `"room":"r"`)) },
			"pings":                  func() { a.Pace(1) },
		} {
			begin := time.Now()
			for range 1000 {
				flood()
			}
			if took := time.Since(begin); took < 48*time.Second || took > 110*time.Second {
				w.Errorf("1000 %s were read in %v, want 48 s to 110 s", name, took)
			}
			a.heard()
		}
		if got := n.Stats().Rejected; got != 1000 {
			w.Errorf("%d were rejected, want 1000", got)
		}
	})
}

func TestWaitingAsLongAsToldIsEnough(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = 7 })
		a := n.client()
		for range 14 {
			a.do(roomLeave("r"))
		}
		for i := range 50 {
			<-a.Begin(roomLeave("r"))
			var r struct{ RetryAfter int }
			if err := json.Unmarshal([]byte(a.heard()[0]), &r); err != nil || r.RetryAfter == 0 {
				w.Fatalf("%d: retryAfter %d, %v", i, r.RetryAfter, err)
			}
			time.Sleep(time.Duration(r.RetryAfter) * time.Millisecond)
			a.says(roomLeave("r"), failed("connection not in this room (r)"))
		}
	})
}

func TestRoomViewComesInPages(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		seen := map[string]bool{}
		var a *client
		for range 5 {
			a = n.client().do(roomAdd("r"))
		}
		cursor, pages := "", 0
		for {
			<-a.Begin(event("roomView", `"room":"r","limit":2`, fmt.Sprintf(`"cursor":%q`, cursor)))
			var r struct {
				Data struct {
					Members      map[string]struct{ ID string }
					MembersCount int
					Cursor       string
				}
			}
			if err := json.Unmarshal([]byte(a.heard()[0]), &r); err != nil || r.Data.MembersCount != 5 || len(r.Data.Members) > 2 {
				w.Fatalf("page %d is %+v, %v", pages, r.Data, err)
			}
			for id, m := range r.Data.Members {
				if seen[id] || m.ID != id {
					w.Errorf("%s is there twice, or as %s", id, m.ID)
				}
				seen[id] = true
			}
			pages++
			if cursor = r.Data.Cursor; cursor == "" {
				break
			}
		}
		if len(seen) != 5 || pages != 3 {
			w.Errorf("%d members on %d pages, want 5 on 3", len(seen), pages)
		}
		a.says(event("roomView", `"room":"r","limit":"many"`), `{"status":"Error: limit must be a whole number","error":"Error: limit must be a whole number","context":"response","data":{"limit":"many"},"messageId":1}`)
	})
}

func TestDocumentation(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants[0].ClientsMayCreate = true })
		n.mw.Declared = map[string]hook.ActionSpec{"login": {Description: "lets in", Inputs: map[string]hook.InputSpec{
			"token": {Required: true, Description: "of the user"}, "remember": {}}}}
		actions := `"actions":{"createChatRoom":{"name":"createChatRoom","description":"creates a room","inputs":{"name":{"required":true,"description":"of the room"}}},` +
			`"login":{"name":"login","description":"lets in","inputs":{"remember":{"required":false},"token":{"required":true,"description":"of the user"}}}}`
		n.client().says(event("documentation"), `{"status":"OK","context":"response","data":{"verbs":["roomAdd","roomLeave","roomView","roomHistory","say","retract","edit",`+
			`"detailsView","documentation","quit","exit","action"],`+actions+`},"messageId":1}`)
		n.socket().says(event("documentation"), `{"status":"OK","context":"response","data":{"verbs":["roomAdd","roomLeave","roomView","roomHistory","say","retract","edit",`+
			`"detailsView","documentation","quit","exit","action","paramAdd","paramDelete","paramView","paramsView","paramsDelete"],`+actions+`},"messageId":1}`)
	})
}

// TestARefusalThatMayPassSaysWhen checks that a refusal by an open breaker contains the
// time to wait, on both transports and on other nodes, and no module name.
func TestARefusalThatMayPassSaysWhen(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		a, s := n.client().do(roomAdd("r")), n.socket().do(roomAdd("r"))
		n.mw.Declared = map[string]hook.ActionSpec{"x": {}}
		refusing := func(*hook.Event) hook.Verdict {
			return hook.Verdict{Outcome: hook.Failed, Module: "m@1", RetryAfter: 1500*time.Millisecond + 1}
		}
		for _, hook := range []hook.Hook{hook.Join, hook.Leave, hook.OnSayReceive, hook.Action} {
			n.on(hook, refusing)
		}
		later := func(text string) string {
			return strings.Replace(text, `,"messageId"`, `,"retryAfter":1501,"messageId"`, 1)
		}
		for request, want := range map[string]string{
			roomAdd("q"): failed("try again"), roomLeave("r"): failed("try again"), say("r", "hello"): failedSaying("try again"), action("x", ""): actionError("try again"),
		} {
			a.says(request, later(want))
			s.says(request, `{"error":"try again","context":"response","retryAfter":1501,"messageId":1}`)
		}
		n.on(hook.Connect, refusing)
		if _, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"}); err != (engine.Close{Code: 3010, Reason: "try again", RetryAfter: 1500*time.Millisecond + 1}) {
			w.Errorf("a connection is refused with %v", err)
		}
		two := w.node("two")
		err := two.AddMember(w.Context(), in("q"), a.ID())
		if retry, ok := errors.AsType[*engine.RetryError](err); !ok || retry.Wait != 1500*time.Millisecond+1 {
			w.Errorf("another node is told %v", err)
		}
	})
}
