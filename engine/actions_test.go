package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
)

func action(name, params string) string {
	if params != "" {
		params = "," + params
	}
	return fmt.Sprintf(`{"event":"action","messageId":1,"params":{"action":%q%s}}`, name, params)
}

func actionError(text string) string {
	return fmt.Sprintf(`{"error":%q,"context":"response","messageId":1}`, text)
}

func TestActionAnswersWithTheModulesFields(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.mw.Declared = map[string]hook.ActionSpec{"login": {Inputs: map[string]hook.InputSpec{
			"user": {Required: true}, "token": {Required: true}, "remember": {}}}}
		verdict := hook.Verdict{Reply: []byte(`{"authorized":true,"level":3}`),
			Effects: []hook.Effect{property("level", "3"), emit("r", "welcome")}}
		var params string
		n.on(hook.Action, func(ev *hook.Event) hook.Verdict { params = string(ev.Params); return verdict })
		a := n.client().do(roomAdd("r"))
		a.says(action("login", ""), actionError("token is a required parameter for this action"))
		a.says(action("login", `"token":"t"`), actionError("user is a required parameter for this action"))
		a.says(action("login", `"token":"t","user":""`), actionError("user is a required parameter for this action"))
		a.says(action("login", `"token":"t","user":null`), actionError("user is a required parameter for this action"))
		a.says(action("logout", ""), actionError("unknown action or invalid apiVersion"))
		a.says(event("action"), actionError("unknown action or invalid apiVersion"))
		a.says(action("createChatRoom", `"name":"mine"`), actionError("unknown action or invalid apiVersion"))

		a.says(action("login", `"token":"t","user":"u"`), `{"authorized":true,"level":3,"context":"response","messageId":1}`, chat("r", "0", "welcome"))
		if want := `{"action":"login","token":"t","user":"u"}`; params != want {
			w.Errorf("the module was given %s, want %s", params, want)
		}
		if got := string(a.Profile().Property("level")); got != "3" {
			w.Errorf("the property is %q", got)
		}
		verdict = deny("wrong token")
		a.says(action("login", `"token":"t","user":"u"`), actionError("wrong token"))
		verdict = hook.Verdict{Outcome: hook.Failed}
		a.says(action("login", `"token":"t","user":"u"`), actionError("middleware error"))
		verdict = hook.Verdict{}
		a.says(action("login", `"token":"t","user":"u"`), `{"context":"response","messageId":1}`)
	})
}

// slowActions declares the action "slow". Each call waits until a value is sent to gate or
// gate is closed.
func (n *node) slowActions() (gate chan struct{}) {
	gate = make(chan struct{})
	n.mw.Declared = map[string]hook.ActionSpec{"slow": {}}
	n.on(hook.Action, func(*hook.Event) hook.Verdict { <-gate; return allow() })
	return gate
}

func TestActionsRunBesideVerbsFiveAtATime(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := n.slowActions()
		a := n.client()
		for range 5 {
			a.says(action("slow", ""))
		}
		a.says(action("slow", ""), actionError("you have too many pending requests"))
		a.says(roomAdd("r"), isTrue)
		<-a.Begin(event("detailsView"))
		if got := a.heard()[0]; !strings.HasSuffix(got, `"totalActions":5,"pendingActions":5},"messageId":1}`) {
			w.Errorf("details are %s", got)
		}
		close(gate)
		a.hears(slices.Repeat([]string{`{"context":"response","messageId":1}`}, 5)...)
		a.says(action("slow", ""), `{"context":"response","messageId":1}`)
	})
}

func TestConnectionEndsAfterItsActions(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := n.slowActions()
		l := n.countLeavers(allowed)
		a := n.client().do(roomAdd("r"), action("slow", ""))
		a.Sink.Close()
		synctest.Wait()
		l.check(w, "", 0)
		close(gate)
		<-a.Gone
		l.check(w, hook.CauseDisconnect, 1)
	})
}

func TestActionsAreRefusedDuringShutdown(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := n.slowActions()
		close(gate)
		var clients []*client
		for range 40 { // Shutdown closes two connections in each of its 20 steps
			clients = append(clients, n.client())
		}
		over := make(chan error, 1)
		go func() { over <- n.Shutdown(w.Context(), 20*time.Second) }()
		synctest.Wait()
		refused := 0
		for _, c := range clients {
			<-c.Begin(action("slow", ""))
			switch got := c.heard(); got[0] {
			case actionError("the server is shutting down"):
				refused++
			case "bye shutdown (3001) after 10ms", "bye shutdown (3001) after 20ms":
			default:
				w.Errorf("received %q", got)
			}
		}
		if refused != 38 {
			w.Errorf("%d clients were told that the server is shutting down, want 38", refused)
		}
		w.must(<-over, nil)
	})
}

func TestClientsMayCreateRoomsWhereTheTenantSaysSo(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Tenants[0].ClientsMayCreate = true; c.Tenants[0].Limits.Rooms = 3 })
		a := n.client()
		a.says(action("createChatRoom", `"name":"mine"`), `{"name":"mine","didCreate":true,"context":"response","messageId":1}`)
		a.says(action("createChatRoom", `"name":"another"`), actionError("too many rooms (at most 3)"))
		a.says(action("createChatRoom", `"name":"mine"`), `{"name":"mine","didCreate":false,"context":"response","messageId":1}`)
		a.says(action("createChatRoom", ""), actionError("name is a required parameter for this action"))
		a.says(action("createChatRoom", `"name":7`), actionError("name must be text"))
		a.says(action("createChatRoom", `"name":"a\u0007b"`), actionError("invalid room name"))
		a.says(action("createChatRoom", `"name":"`+long(201)+`"`), actionError("invalid room name"))
		a.says(roomAdd("mine"), isTrue)
	})
}
