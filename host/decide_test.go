package host

import (
	"context"
	"testing"

	"github.com/mootchat/moot/engine"
)

func decide(h *Host, text string) (engine.Verdict, *engine.Event) {
	ev := said(text)
	return h.Decide(context.Background(), ev), ev
}

func TestAModuleAllowsDeniesAndRewrites(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{}`))
	if v, ev := decide(h, "hello"); v.Outcome != engine.Allowed || ev.Message.Text != "hello" {
		t.Errorf("allow: %+v, %+v", v, ev)
	}
	if v, _ := decide(h, "deny no such words"); v.Outcome != engine.Denied || v.Reason != "no such words" {
		t.Errorf("deny: %+v", v)
	}
	if v, ev := decide(h, "rewrite other words"); v.Outcome != engine.Allowed || ev.Message.Text != "other words" {
		t.Errorf("rewrite: %+v, %+v", v, ev)
	}
}
