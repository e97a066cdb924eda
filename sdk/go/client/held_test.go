package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mootchat/moot/sdk/go/client"
)

// TestHeldMessages checks the answer to a held message, the outcome, the lists and a withdrawal.
func TestHeldMessages(t *testing.T) {
	const data = `{"held":"h1","room":"r","message":"hi","sentAt":1000,"heldAt":1000,"until":2000,"outcome":"waiting"}`
	asked := make(chan string, 10)
	url := fakeOf(t, func(n int, q fakeRequest, conn *websocket.Conn) map[string]any {
		switch q.Event {
		case "roomAdd":
			asked <- q.Event + map[bool]string{true: " moderation"}[q.Moderation]
		case "say":
			return map[string]any{"held": "h1"}
		case "heldView":
			if q.Held != "" {
				return map[string]any{"data": raw(data)}
			}
			return map[string]any{"data": map[string]any{"held": []any{raw(data)}, "cursor": "c"}}
		case "heldWithdraw":
			write(conn, map[string]any{"context": "moderation", "room": "r", "held": q.Held, "outcome": "withdrawn", "reason": "why"})
		}
		return succeed(n, q.Event)
	})
	outcomes := make(chan client.Outcome, 1)
	c, err := client.Connect(t.Context(), "ws://"+url, client.Options{OnOutcome: func(o client.Outcome) { outcomes <- o }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.JoinWith(t.Context(), "r", client.JoinOptions{Moderation: true}); err != nil || <-asked != "roomAdd moderation" {
		t.Errorf("join: %v", err)
	}
	if sent, err := c.Send(t.Context(), "r", "hi"); err != nil || sent != (client.Sent{Held: "h1"}) {
		t.Errorf("sent %+v, %v", sent, err)
	}
	if id, err := c.Say(t.Context(), "r", "hi"); err != nil || id != "" {
		t.Errorf("said %q, %v", id, err)
	}
	page, err := c.HeldMessages(t.Context(), client.Page{})
	one, err2 := c.HeldMessage(t.Context(), "h1")
	if err != nil || err2 != nil || page.Cursor != "c" || len(page.Held) != 1 || one.Held != "h1" || one.Outcome.Outcome != "waiting" ||
		string(one.Message) != `"hi"` || !one.Until.Equal(time.UnixMilli(2000)) || !strings.Contains(string(page.Held[0].Message), "hi") {
		t.Errorf("held are %+v and %+v, %v, %v", page, one, err, err2)
	}
	if err := c.Withdraw(t.Context(), "h1"); err != nil {
		t.Error(err)
	}
	if o := <-outcomes; o != (client.Outcome{Held: "h1", Room: "r", Outcome: "withdrawn", Reason: "why"}) {
		t.Errorf("the outcome is %+v", o)
	}
}
