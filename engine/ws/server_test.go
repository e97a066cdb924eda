package ws_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/ws"
)

// connecting calls f at the hook connect.
func connecting(f func(p *hook.Profile) hook.Verdict) option {
	return func(e *engine.Config, _ *ws.Config) {
		e.Middleware = new(enginetest.Middleware).On(hook.Connect, func(_ context.Context, ev *hook.Event) hook.Verdict { return f(ev.Conn) })
	}
}

// get returns the answer to a request without an upgrade.
func (s *site) get(path string, headers ...string) (*http.Response, string) {
	s.Helper()
	req, err := http.NewRequest("GET", s.http.URL+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.http.Client().Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res, string(body)
}

func TestPlainRequests(t *testing.T) {
	s := newSite(t, func(_ *engine.Config, c *ws.Config) { c.PingInterval = 0 })
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/primus/spec", 200, `{"pingInterval":30000,"pathname":"/primus","version":"8.0.9","parser":"json","transformer":"websockets"}`},
		{"/primus", 426, "this address expects a WebSocket handshake\n"},
		{"/ws", 426, "this address expects a WebSocket handshake\n"},
		{"/wsx", 404, "404 page not found\n"},
		{"/", 404, "404 page not found\n"},
	} {
		res, body := s.get(c.path)
		if res.StatusCode != c.status || body != c.body {
			t.Errorf("%s: %d %q", c.path, res.StatusCode, body)
		}
	}
	if res, _ := s.get("/ws", "Upgrade", "websocket", "Connection", "Upgrade"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a handshake without a key: %s", res.Status)
	}
}

func TestPathsOfTheWebSocket(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/primus", "/primus/", "/primusXYZ", "/primus?sessionID=a&_primuscb=b", "/ws", "/ws?x=1"} {
		s.dial(path)
	}
}

func TestOrigins(t *testing.T) {
	any := func(*engine.Config, *ws.Config) {}
	allow := func(origins ...string) option {
		return func(_ *engine.Config, c *ws.Config) { c.AllowedOrigins = origins }
	}
	for _, c := range []struct {
		name    string
		option  option
		origin  string
		allowed bool
	}{
		{"not a browser", any, "", true},
		{"the same host", any, "http://HOST", true},
		{"the same host, which is not listed", allow("https://a.example"), "http://HOST", false}, // DNS rebinding
		{"another host", any, "http://evil.example", false},
		{"another port", any, "http://127.0.0.1:1", false},
		{"no host", any, "null", false},
		{"any", allow("*"), "http://evil.example", true},
		{"any, and no host", allow("*"), "null", true},
		{"a host", allow("a.example"), "https://A.example:8443", true},
		{"a host and its port", allow("a.example:8443"), "https://a.example:8443", true},
		{"a host and another port", allow("a.example:8443"), "https://a.example", false},
		{"a scheme", allow("https://a.example"), "https://a.example", true},
		{"another scheme", allow("https://a.example"), "http://a.example", false},
		{"a longer name", allow("a.example"), "https://xa.example", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.option)
			origin := strings.Replace(c.origin, "HOST", s.http.Listener.Addr().String(), 1)
			conn := s.connect()
			if origin != "" {
				conn.raw(s.handshake("/ws", "Origin: "+origin))
			} else {
				conn.raw(s.handshake("/ws"))
			}
			conn.upgraded()
			if c.allowed {
				conn.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
			} else {
				conn.wantsClose(3504, "origin not allowed")
			}
		})
	}
}

func TestFullNodeRefusesBeforeTheUpgrade(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *ws.Config) { e.Limits.Connections = 1 })
	first := s.dial("/ws")
	late := s.connect()
	late.raw(s.handshake("/ws"))
	res, err := http.ReadResponse(late.r, nil)
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") != "5" {
		t.Fatalf("%v, %v", res, err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "too many connections\n" {
		t.Errorf("%q", body)
	}
	first.raw(frame(closing, ""))
	first.receive()
	first.wantsEnd()
	first.Close()
	for { // the reservation is free again when the connection is done
		c := s.connect()
		c.raw(s.handshake("/ws"))
		if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode == 101 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestFailedHandshakeDoesNotCountAsAConnection(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *ws.Config) { e.Limits.Connections = 1 })
	for range 3 {
		c := s.connect()
		c.raw(strings.Replace(s.handshake("/ws"), "Version: 13", "Version: 12", 1))
		if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 400 {
			t.Fatalf("%v, %v", res, err)
		}
	}
	s.dial("/ws")
}

func TestProfileOfAClient(t *testing.T) {
	seen := make(chan *hook.Profile, 1)
	proxy := func(_ *engine.Config, c *ws.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	}
	know := connecting(func(p *hook.Profile) hook.Verdict { seen <- p; return hook.Verdict{} })
	direct, behind := newSite(t, know), newSite(t, know, proxy)
	for _, c := range []struct {
		site              *site
		path, header      string
		fingerprint, ip   string // "ID": the connection's id
		locale            string
		portOfTheirSocket bool
	}{
		{direct, "/primus?sessionID=abc", "Accept-Language: de-CH,de;q=0.9", "abc", "127.0.0.1", "de-CH", true},
		{direct, "/ws", "Accept-Language: en;q=0.5, fr", "ID", "127.0.0.1", "en", true},
		{direct, "/ws?sessionID=%00", "Accept-Language: *", "ID", "127.0.0.1", "", true},
		{direct, "/ws?sessionID=" + strings.Repeat("x", 129), "X-Forwarded-For: 1.2.3.4", "ID", "127.0.0.1", "", true},
		{behind, "/ws", "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.0.0.7", "ID", "1.2.3.4", "", false},
		{behind, "/ws", "X-Forwarded-For: nonsense, 10.0.0.7", "ID", "10.0.0.7", "", false},
		{behind, "/ws", "X-Forwarded-For: 2001:db8::1", "ID", "2001:db8::1", "", false},
		{behind, "/ws", "X-Other: 1", "ID", "127.0.0.1", "", true},
	} {
		conn := c.site.dial(c.path, c.header)
		p := <-seen
		port := 0
		if c.portOfTheirSocket {
			_, p, _ := strings.Cut(conn.LocalAddr().String(), ":")
			port, _ = strconv.Atoi(p)
		}
		if c.fingerprint == "ID" {
			c.fingerprint = p.ID
		}
		if p.Transport != "websocket" || p.Fingerprint != c.fingerprint || p.RemoteIP != c.ip || p.RemotePort != port || p.Locale != c.locale {
			t.Errorf("%s, %s: %+v", c.path, c.header, p)
		}
	}
}

func TestDeniedConnectionReceivesTheReason(t *testing.T) {
	s := newSite(t, connecting(func(*hook.Profile) hook.Verdict {
		return hook.Verdict{Outcome: hook.Denied, Reason: "no " + strings.Repeat("é", 100)}
	}))
	reason := "no " + strings.Repeat("é", 60) // the part that fits into 123 bytes
	for _, path := range []string{"/ws", "/primus"} {
		c := s.connect()
		c.raw(s.handshake(path))
		c.upgraded()
		if path == "/primus" {
			c.wants(`"primus::server::close"`)
		}
		c.wantsClose(3501, reason)
	}
}

func TestFailedModuleAsksTheClientToReconnect(t *testing.T) {
	s := newSite(t, connecting(func(*hook.Profile) hook.Verdict { return hook.Verdict{Outcome: hook.Failed} }))
	c := s.connect()
	c.raw(s.handshake("/primus"))
	c.upgraded()
	c.wantsClose(3010, "middleware error")
}

func TestQuit(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/primus")
		c.send(`{"event":"quit","messageId":1}`)
		c.wants(`"primus::server::close"`)
		c.wantsClose(1000, "quit")
		c = s.dial("/ws")
		c.raw(frame(text, `{"event":"exit"}`) + frame(text, nope("late"))) // the next request does not run
		c.wantsClose(1000, "quit")
	})
}

func TestShutdownAsksClientsToReconnect(t *testing.T) {
	everywhere(t, func(s *site) {
		a, b := s.dial("/primus"), s.dial("/ws")
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		go s.engine.Shutdown(ctx, 10*time.Millisecond)
		a.wantsClose(3001, "shutdown") // without primus::server::close
		b.wants(`{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}`)
		b.wantsClose(3001, "shutdown")
		res, body := s.get("/ws", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		if res.StatusCode != 503 || body != "the server is shutting down\n" {
			s.Errorf("%s %q", res.Status, body)
		}
	})
}

func TestEndOfRunClosesAllConnections(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		s.stop()
		if n := s.engine.Stats().Connections; n != 0 {
			s.Errorf("%d connections are open after Run", n)
		}
		c.wants(`{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}`)
		c.wantsClose(3001, "shutdown")
	})
}

func TestLostClientIsDone(t *testing.T) {
	everywhere(t, func(s *site) {
		c, other := s.dial("/ws"), s.dial("/ws")
		for _, m := range []*client{other, c} {
			m.send(`{"event":"roomAdd","room":"r","messageId":1}`)
			m.receive()
		}
		c.raw(frame(startText, `{"event":"say","room":"r","message":"half"}`)) // within a message
		c.Close()
		for { // until it has left the room
			other.send(`{"event":"roomView","room":"r","messageId":2}`)
			_, view := other.receive()
			if strings.Contains(view, `"membersCount":1`) {
				break
			}
			if !strings.Contains(view, `"membersCount":2`) {
				s.Fatalf("received %s", view)
			}
		}
	})
}

// TestGapsAreNotSentAtPrimus checks that a client of ActionHero receives no notice of a
// gap, because ActionHero has no such notice.
func TestGapsAreNotSentAtPrimus(t *testing.T) {
	everywhere(t, func(s *site) {
		primus, plain := s.dial("/primus"), s.dial("/ws")
		for _, c := range []*client{primus, plain} {
			c.send(`{"event":"roomAdd","room":"r","messageId":1}`)
			c.receive()
		}
		s.engine.Missed(t.Context(), cluster.RoomID{Tenant: "default", Room: "r"})
		plain.wants(`{"context":"gap","room":"r"}`)
		plain.send(`{"event":"say","room":"r","message":"after it"}`)
		if _, got := primus.receive(); !strings.HasPrefix(got, `{"message":"after it"`) {
			s.Errorf("received %s", got)
		}
	})
}

func TestHeartbeats(t *testing.T) {
	everywhere(t, func(s *site) {
		primus, plain := s.dial("/primus"), s.dial("/ws")
		for range 4 { // any frame is an answer
			_, beat := primus.receive()
			ms, ok := strings.CutPrefix(beat, `"primus::ping::`)
			at, err := strconv.ParseInt(strings.TrimSuffix(ms, `"`), 10, 64)
			if since := time.Since(time.UnixMilli(at)); !ok || err != nil || since < -time.Second || since > timeout {
				s.Fatalf("received %q, want a heartbeat", beat)
			}
			primus.send(`"primus::pong::` + ms)
			if first, payload := plain.receive(); first != ping || payload != "" {
				s.Fatalf("received %#x %q, want a ping", first, payload)
			}
			plain.raw(frame(pong, ""))
		}
		primus.isSilent()
		plain.isSilent()
	}, func(_ *engine.Config, c *ws.Config) {
		c.PingInterval, c.IdleTimeout = 150*time.Millisecond, 225*time.Millisecond
	})
}

// isSilent sends nothing and checks that the server closes the connection after two
// heartbeats.
func (c *client) isSilent() {
	c.Helper()
	for range 2 {
		if first, beat := c.receive(); first == closing {
			c.Fatalf("closed too soon: %q", beat)
		}
	}
	c.wantsClose(3009, "idle")
}

func TestPrimusStrings(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/primus")
		c.send(`"primus::id::"`)
		first, id := c.receive()
		if first != text || !strings.HasPrefix(id, `"primus::id::n-`) {
			s.Errorf("%#x %q", first, id)
		}
		c.send(`"primus::pong::17"`)
		c.send(nope("on"))
		c.wants(notThere("on"))
		c.send(`"primus::other"`) // like any other string
		if _, got := c.receive(); !strings.Contains(got, "verb not found or not allowed (undefined)") {
			s.Errorf("%q", got)
		}
		c.raw(frame(text, "\"primus::pong::\xff\""))
		c.wantsClose(1007, "text is not valid UTF-8")

		plain := s.dial("/ws") // this client has no such strings
		plain.send(`"primus::id::"`)
		if _, got := plain.receive(); !strings.Contains(got, "verb not found or not allowed (undefined)") {
			s.Errorf("%q", got)
		}
	})
}

func TestTenantsAreFoundByPath(t *testing.T) {
	seen := make(chan *hook.Profile, 1)
	s := newSite(t, connecting(func(p *hook.Profile) hook.Verdict { seen <- p; return hook.Verdict{} }), func(e *engine.Config, _ *ws.Config) {
		e.Tenants = append(e.Tenants, engine.TenantConfig{Name: "acme", Paths: []string{"/acme"}})
	})
	s.dial("/acme/primus")
	if p := <-seen; p.Tenant != "acme" {
		t.Errorf("tenant %s", p.Tenant)
	}
	s.dial("/ws")
	if p := <-seen; p.Tenant != "default" {
		t.Errorf("tenant %s", p.Tenant)
	}
}
