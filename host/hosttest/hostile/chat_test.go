package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// attackers returns modules for the rooms r0, r1 and so on of the hostile tenant.
func attackers() []module {
	both := []hook.Hook{hook.OnSayReceive, hook.Say}
	var list []module
	for n, build := range []func(g *guest) asm.Code{
		does(forever("")),
		does(asm.Unreachable),
		func(g *guest) asm.Code { return asm.I32(0) + asm.Call(g.Next()) }, // calls itself without end
		does(growToTheEnd + asm.Unreachable),
		func(g *guest) asm.Code { return exit(g, 1) + answers(0) },
		func(g *guest) asm.Code { return sleep(g, time.Hour) + answers(0) },
		func(g *guest) asm.Code { return burn(g, 15) + answers(0) },
		does(span(abi.ResultReason, -16, 100) + answers(abi.Deny)),
		func(g *guest) asm.Code { g.json(); return forever(spam["emit"](g)) },
		func(g *guest) asm.Code { return forever(spam["kv_set"](g)) },
		func(g *guest) asm.Code { return forever(spam["log"](g)) },
		func(g *guest) asm.Code { return forever(iovecs(g)) },
	} {
		a := attack{hooks: both, entry: host.Entry{Timeout: short.Timeout, Grants: []string{"kv", "emit"}, Rooms: []string{fmt.Sprintf("r%d", n)}}, build: build}
		m := a.module()
		m.entry.Module = fmt.Sprintf("hostile%d", n)
		list = append(list, m)
	}
	return list
}

// TestHostileAndGoodTenantsChat makes members of both tenants chat. A hostile module handles each message in the rooms
// of the hostile tenant. The test checks that in the other room each member receives all messages, in order for each
// sender, with the field that the good module adds.
func TestHostileAndGoodTenantsChat(t *testing.T) {
	tn := settle(t)
	defer tn.stop()
	modules := attackers()
	tn.must(tn.load(modules))
	var victims []*client
	var all sync.WaitGroup
	for n := range modules {
		c := tn.member("hostile", fmt.Sprintf("r%d", n))
		victims = append(victims, c)
		all.Go(func() {
			for range 10 {
				if answer := c.asks(fmt.Sprintf("say r%d hello", n)); !ok(answer) && !strings.Contains(answer, `"error":"middleware error"`) {
					t.Errorf("a client of a hostile room receives %s", answer)
				}
			}
		})
	}
	const speakers, messages = 3, 50
	var members []*client
	for range speakers {
		members = append(members, tn.member("good", "r"))
	}
	for _, c := range members {
		all.Go(func() {
			for n := range messages {
				said := false // on a busy machine the good module may miss a deadline
				for begin := time.Now(); !said && time.Since(begin) < patience; {
					said = ok(c.asks(fmt.Sprintf("say r %d", n)))
				}
			}
		})
	}
	all.Wait()
	for _, c := range members {
		c.heardEverything(members, messages)
	}
	for _, s := range tn.Host.Stats() {
		if s.Calls == 0 {
			t.Errorf("nobody met the module %s", s.Name)
		}
	}
	for n, c := range victims {
		if c.isClosed() || !ok(c.asks("detailsView")) {
			t.Errorf("the client of room r%d is gone", n)
		}
	}
	for _, c := range append(members, victims...) {
		c.Done(context.Background())
	}
}

// heardEverything checks that the client has received the numbers from 0 on from each member, with the field that the
// good module adds.
func (c *client) heardEverything(members []*client, each int) {
	c.t.Helper()
	next := make(map[string]int)
	for range each * len(members) {
		line := c.next(c.sink.chat)
		var m struct {
			From, Message string
			Good          int
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Good != 1 || m.Message != fmt.Sprint(next[m.From]) {
			c.t.Fatalf("received %s, %v; want number %d", line, err, next[m.From])
		}
		next[m.From]++
	}
	if len(next) != len(members) || len(c.sink.chat) > 0 {
		c.t.Errorf("received %v, and %d lines more", next, len(c.sink.chat))
	}
}

// TestHostileHooksOfOneConnection replaces the modules while a client of the hostile tenant is connected, so that its
// next hook never ends. It checks that the client's answers follow the protocol.
func TestHostileHooksOfOneConnection(t *testing.T) {
	tn := settle(t)
	defer tn.stop()
	hostileAt := func(hooks ...hook.Hook) {
		t.Helper()
		tn.must(tn.load(nil))
		if len(hooks) > 0 {
			a := attack{hooks: hooks, entry: short, build: does(forever(""))}
			tn.must(tn.load([]module{a.module()}))
		}
	}
	const failed = `"error":"middleware error"`
	good := tn.member("good", "r")
	hostileAt(hook.Connect)
	var closed engine.Close
	if _, err := tn.visit("hostile"); !errors.As(err, &closed) || closed != engine.CloseFailed {
		t.Errorf("connect: %v", err)
	}
	hostileAt()
	c, err := tn.visit("hostile")
	tn.must(err)
	hostileAt(hook.Join)
	if answer := c.asks("roomAdd r"); !strings.Contains(answer, failed) || len(c.Rooms()) > 0 {
		t.Errorf("join: %s, it is in %v", answer, c.Rooms())
	}
	hostileAt()
	if answer := c.asks("roomAdd r"); !ok(answer) {
		t.Errorf("after the module was swapped: %s", answer)
	}
	hostileAt(hook.Action)
	if answer := c.asks(`{"params":{"action":"act"}}`); !strings.Contains(answer, failed) {
		t.Errorf("action: %s", answer)
	}
	hostileAt(hook.Leave, hook.Disconnect)
	if answer := c.asks("roomLeave r"); !strings.Contains(answer, failed) || len(c.Rooms()) != 1 {
		t.Errorf("leave: %s, it is in %v", answer, c.Rooms())
	}
	begin := time.Now()
	c.Done(context.Background()) // the connection ends: it leaves, whatever the module does
	if took := time.Since(begin); took > patience || len(c.Rooms()) > 0 {
		t.Errorf("disconnect: after %v, it is in %v", took, c.Rooms())
	}
	if answer := good.asks("say r hello"); !ok(answer) {
		t.Errorf("the good tenant receives %s", answer)
	}
	good.Done(context.Background())
}
