package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// tokens maps valid tokens to their identities.
type tokens map[string]engine.Identity

func (t tokens) Check(_ context.Context, token string) (engine.Identity, error) {
	id, ok := t[token]
	switch {
	case token == "later":
		return id, fmt.Errorf("%w: keys.example is down", engine.ErrUnchecked)
	case !ok:
		return id, errors.New("token is invalid")
	}
	return id, nil
}

func claims(values ...string) (all []hook.Property) {
	for i := 0; i < len(values); i += 2 {
		all = append(all, hook.Property{Name: values[i], Value: []byte(values[i+1])})
	}
	return all
}

func propertiesOf(c *client) string {
	var all []string
	for _, p := range c.Profile().Properties {
		s := fmt.Sprintf("%s=%s", p.Name, p.Value)
		if p.Claim {
			s += " claimed"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

// takes makes the node's tenant check tokens.
func takes(t tokens, required bool) func(*engine.Config) {
	return func(c *engine.Config) { c.Tenants[0].Tokens, c.Tenants[0].TokenRequired = t, required }
}

// bring opens a connection with a token.
func (n *node) bring(token string) (*client, error) {
	return n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "default"}, func(i *engine.Info) { i.Token = token })
}

// promise opens a connection whose client sends its token later.
func (n *node) promise() *client {
	n.w.Helper()
	c, err := n.tryOpen(wire.Socket, engine.ReservationRequest{Tenant: "default"}, func(i *engine.Info) { i.TokenFollows = true })
	n.w.must(err, nil)
	return c
}

func TestATokenIdentifiesTheUser(t *testing.T) {
	inWorld(t, func(w *world) {
		ann := engine.Identity{User: "ann", Claims: claims("role", `"admin"`, "level", "3")}
		n := w.node("n", takes(tokens{"ann": ann}, true))
		n.on(hook.Connect, func(ev *hook.Event) hook.Verdict {
			if ev.Conn.User != "ann" || string(ev.Conn.Property("role")) != `"admin"` {
				w.Errorf("the connect hook sees %q, %s", ev.Conn.User, ev.Conn.Property("role"))
			}
			return allow(property("role", `"god"`), property("mood", `"good"`))
		})
		c, err := n.bring("ann")
		w.must(err, nil)
		if got := propertiesOf(c); got != `level=3 claimed, mood="good", role="admin" claimed` {
			w.Errorf("the properties are %s", got)
		}
		w.must(n.SetProperty(w.Context(), "default", c.ID(), "role", nil), errors.New("property role comes from the token and cannot be changed"))
	})
}

func TestClientsWithoutAValidTokenAreRefused(t *testing.T) {
	for _, test := range []struct {
		token    string
		required bool
		want     error
	}{
		{"", true, engine.Close{Code: 3502, Reason: "token missing"}},
		{"", false, nil},
		{"bad", true, engine.Close{Code: 3502, Reason: "token is invalid"}},
		{"bad", false, engine.Close{Code: 3502, Reason: "token is invalid"}},
		{"later", true, engine.Close{Code: 3011, Reason: "token cannot be checked now"}},
		{"large", true, engine.Close{Code: 3502, Reason: "properties too large"}},
	} {
		inWorld(t, func(w *world) {
			n := w.node("n", takes(tokens{"large": {Claims: claims("x", `"`+strings.Repeat("x", 16<<10)+`"`)}}, test.required))
			hooks := 0
			for _, h := range []hook.Hook{hook.Connect, hook.Disconnect} {
				n.on(h, func(*hook.Event) hook.Verdict { hooks++; return allow() })
			}
			c, err := n.bring(test.token)
			w.must(err, test.want)
			if test.want == nil {
				c.HangUp()
			} else if hooks != 0 || n.Reservations() != 0 || n.Stats().Refused != 1 {
				w.Errorf("%d hooks ran, %d seats are taken, %d were refused", hooks, n.Reservations(), n.Stats().Refused)
			}
		})
	}
}

func TestATokenIsIgnoredWithoutAuthentication(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		c, err := n.bring("any")
		w.must(err, nil)
		c.says(`{"event":"auth","token":"any","messageId":1}`, failed("authentication is not configured"))
	})
}

func TestATokenMayFollow(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takes(tokens{"ann": {User: "ann"}}, true))
		var log []string
		for _, h := range []hook.Hook{hook.Connect, hook.Disconnect} {
			n.on(h, func(ev *hook.Event) hook.Verdict {
				log = append(log, fmt.Sprint(ev.Hook, " ", ev.Conn.User))
				return allow()
			})
		}
		c := n.promise()
		c.hears() // no welcome before the token
		const first = `{"error":"a token is needed first (auth TOKEN)","context":"response","messageId":1}`
		for _, verb := range []string{"roomAdd", "detailsView", "documentation", "action", "nonsense"} {
			c.says(`{"event":"`+verb+`","room":"r","messageId":1}`, first)
		}
		w.must(n.SendMessage(w.Context(), "default", c.ID(), []byte(`1`)), fmt.Errorf("no such connection: %q", c.ID()))
		c.says(`{"event":"auth","token":"ann","messageId":1}`, `{"welcome":"Welcome to the moot api","context":"api"}`,
			`{"status":"OK","context":"response","data":{"user":"ann"},"messageId":1}`)
		time.Sleep(time.Minute)
		c.says(`{"event":"roomAdd","room":"r","messageId":1}`, isTrue)
		c.HangUp()
		if fmt.Sprint(log) != "[connect ann disconnect ann]" {
			w.Errorf("hooks ran %v", log)
		}
	})
}

func TestALaterTokenMustArriveAndBeValid(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(c *client)
		want string
	}{
		"none comes": {func(*client) { time.Sleep(10 * time.Second) }, "bye token missing (3502)"},
		"a bad one":  {func(c *client) { c.Begin("auth bad") }, "bye token is invalid (3502)"},
		"too early":  {func(c *client) { c.Begin("auth later") }, "bye token cannot be checked now (3011)"},
		"a denial":   {func(c *client) { c.Begin("auth bob") }, "bye not you (3501)"},
		"quit":       {func(c *client) { c.Begin("quit") }, "bye quit (1000)"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n", takes(tokens{"bob": {User: "bob"}}, true))
				n.on(hook.Connect, func(*hook.Event) hook.Verdict { return deny("not you") })
				n.on(hook.Disconnect, func(*hook.Event) hook.Verdict { w.Error("disconnect ran"); return allow() })
				c := n.promise()
				test.do(c)
				<-c.Gone
				c.hears(test.want)
			})
		})
	}
}

func TestAShutdownClosesConnectionsWithoutAToken(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takes(nil, true))
		c := n.promise()
		w.must(n.Shutdown(w.Context(), 0), nil)
		c.hears("bye shutdown (3001) after 10ms")
	})
}

func TestATokenRunsOut(t *testing.T) {
	inWorld(t, func(w *world) {
		in := func(d time.Duration) time.Time { return time.Now().Add(d) }
		n := w.node("n", takes(tokens{
			"minute":   {User: "ann", Expires: in(time.Minute), Claims: claims("role", "1", "old", "1")},
			"hour":     {User: "ann", Expires: in(time.Hour), Claims: claims("role", "2")},
			"for ever": {User: "ann"},
			"bob":      {User: "bob"},
		}, true))
		auth := func(token string) string { return `{"event":"auth","token":"` + token + `","messageId":1}` }
		const refreshed = `{"status":"OK","context":"response","data":{"user":"ann"%s},"messageId":1}`
		a, _ := n.bring("minute")
		b, _ := n.bring("minute")
		c, _ := n.bring("hour")
		gone, _ := n.bring("minute")
		gone.HangUp()
		time.Sleep(time.Minute + 24*time.Second)
		b.says(auth("none"), failed("token is invalid"))
		b.says(auth(""), failed("token missing"))
		b.says(auth("later"), failed("token cannot be checked now"))
		b.says(auth("bob"), failed("token is of another user"))
		w.must(b.do(`{"event":"roomAdd","room":"r"}`).n.SetProperty(w.Context(), "default", b.ID(), "mood", []byte(`1`)), nil)
		b.says(auth("hour"), fmt.Sprintf(refreshed, `,"expiresAt":946688400000`))
		if got := propertiesOf(b); got != "mood=1, role=2 claimed" {
			w.Errorf("the properties are %s", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		a.hears("bye token expired (3502)")
		n.has("r", b)

		c.says(auth("for ever"), fmt.Sprintf(refreshed, ""))
		time.Sleep(24 * time.Hour)
		b.hears("bye token expired (3502)")
		c.says(roomAdd("r"), isTrue)
	})
}

// TestTokensAreLimited checks that a bad token costs as much as ten verbs.
func TestTokensAreLimited(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", takes(tokens{}, false), func(c *engine.Config) { c.Tenants[0].Limits.VerbsPerSecond = 10 })
		c := n.client()
		for range 2 {
			c.says(`{"event":"auth","token":"x","messageId":1}`, failed("token is invalid"))
		}
		c.says(`{"event":"auth","token":"x","messageId":1}`,
			`{"status":"Error: rate limit exceeded","error":"Error: rate limit exceeded","context":"response","data":{},"retryAfter":1000,"messageId":1}`)
	})
	inWorld(t, func(w *world) { // a client with a low rate can still send a token
		n := w.node("n", takes(tokens{}, false), func(c *engine.Config) { c.Tenants[0].Limits.VerbsPerSecond = 1 })
		n.client().says(`{"event":"auth","token":"x","messageId":1}`, failed("token is invalid"))
	})
}
