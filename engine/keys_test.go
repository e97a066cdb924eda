package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

func sayUnder(key, text string) string {
	return fmt.Sprintf(`{"event":"say","room":"r","message":%q,"key":%q,"messageId":1}`, text, key)
}

// failedWith returns the answer to a failed say with a key.
func failedWith(text, key, message string) string {
	return fmt.Sprintf(`{"status":"Error: %s","error":"Error: %[1]s","context":"response","data":{"message":%q,"key":%q},"messageId":1}`, text, message, key)
}

func TestAMessageWithAKeyIsPublishedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		a.says(sayUnder("k", "1"), ok, chat("r", a.ID(), "1"))
		a.says(sayUnder("k", "1"), ok)
		a.says(sayUnder("k", "something else"), ok)
		<-b.Begin(sayUnder("k", "of another"))
		a.hears(chat("r", b.ID(), "of another"))
		a.says(say("r", "without"), ok, chat("r", a.ID(), "without"))
		a.says(say("r", "without"), ok, chat("r", a.ID(), "without"))

		time.Sleep(2*time.Minute - time.Millisecond)
		a.says(sayUnder("k", "1"), ok)
		time.Sleep(time.Millisecond)
		<-a.Begin(sayUnder("k", "again"))
		if heard := a.heard(); len(heard) != 2 {
			w.Errorf("after two minutes the key is still known: %s", heard)
		}
		longest := strings.Repeat("k", 64)
		<-a.Begin(sayUnder(longest, "1"))
		if heard := a.heard(); len(heard) != 2 {
			w.Errorf("received %s", heard)
		}
		a.says(sayUnder(longest+"k", "1"), failedWith("key must be at most 64 bytes", longest+"k", "1"))
		a.says(`{"event":"say","room":"r","message":"hi","key":{},"messageId":1}`,
			strings.Replace(failed("key must be a string or a number"), `"data":{}`, `"data":{"message":"hi","key":{}}`, 1))
	})
}

// TestAFailedKeyMayBeTriedAgain checks that a failed say may be repeated with its key, and
// that a say with an unknown outcome is not repeated.
func TestAFailedKeyMayBeTriedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		s := &shaky{}
		n := w.node("one", s.config)
		asked := 0
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			if asked++; asked == 1 {
				return deny("not now")
			}
			return allow()
		})
		a := n.client().do(roomAdd("r"))
		a.says(sayUnder("k", "1"), failedWith("not now", "k", "1"))
		s.fail["Publish"] = cluster.ErrUnavailable
		a.says(sayUnder("k", "1"), failedWith("cluster unavailable", "k", "1"))
		delete(s.fail, "Publish")
		a.says(sayUnder("k", "1"), ok, chat("r", a.ID(), "1"))

		s.fail["Publish"] = fmt.Errorf("publish: %w: %w", cluster.ErrUnknown, context.DeadlineExceeded)
		a.says(sayUnder("k2", "2"), failedWith("outcome unknown", "k2", "2"))
		delete(s.fail, "Publish")
		a.says(sayUnder("k2", "2"), failedWith("outcome unknown", "k2", "2"))
	})
}

func TestKeysAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) { c.Limits.VerbsPerSecond = 1e6 })
		a := n.client().do(roomAdd("r"))
		for i := range 10_001 {
			<-a.Begin(sayUnder(fmt.Sprint(i), "x"))
		}
		a.heard()
		a.says(sayUnder("1", "x"), ok)
		a.says(sayUnder("0", "x"), ok, chat("r", a.ID(), "x"))
	})
}

// TestKeysOfSilentConnectionsAreForgotten checks that a connection that has used keys and then says nothing holds no
// keys after their time, and that no key is counted after its connection has gone.
func TestKeysOfSilentConnectionsAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		a, b := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		a.do(sayUnder("1", "x"), sayUnder("2", "x"), sayUnder("2", "x"))
		time.Sleep(time.Minute)
		a.do(sayUnder("3", "x"))
		b.do(sayUnder("1", "x"))
		check := func(when string, want, ofTenant int) {
			w.Helper()
			if own, tenant, node := engine.Keys(a.Connection); own != want || tenant != ofTenant || node != ofTenant {
				w.Errorf("%s: %d keys, %d of the tenant, %d of the node; want %d and %d", when, own, tenant, node, want, ofTenant)
			}
		}
		check("after a minute", 3, 4)
		time.Sleep(time.Minute)
		synctest.Wait()
		check("after two", 1, 2)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		check("after four", 0, 0)
		a.do(sayUnder("1", "x"))
		check("used again", 1, 1)
		a.HangUp()
		check("gone", 0, 0)
	})
}

// TestKeysOfANodeAreBounded checks that a tenant that has used up the keys of the node remembers few keys of each
// connection.
func TestKeysOfANodeAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) { c.Limits.VerbsPerSecond = 1000 })
		a := n.client().do(roomAdd("r"))
		for i := range 3 * engine.MinKeys {
			if i == 2*engine.MinKeys {
				engine.AddKeys(a.Connection, engine.MaxNodeKeys/2)
			}
			a.do(sayUnder(fmt.Sprint(i), "x"))
		}
		if own, _, _ := engine.Keys(a.Connection); own != engine.MinKeys {
			w.Errorf("%d keys, want %d", own, engine.MinKeys)
		}
		engine.AddKeys(a.Connection, -engine.MaxNodeKeys/2)
	})
}
