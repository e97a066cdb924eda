package tcp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/tcp"
)

// withID is a line whose answer can be known: it has a messageId.
func withID(id int, event string) string {
	return fmt.Sprintf(`{"event":%q,"room":"r","messageId":%d}`, event, id)
}

func ok(id int, data string) string {
	if data != "" {
		data = `,"data":` + data
	}
	return fmt.Sprintf(`{"status":"OK","context":"response"%s,"messageId":%d}`, data, id)
}

func TestLinesAreCarriedOutInOrder(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw(withID(1, "roomAdd") + "\n" + withID(2, "paramsView") + "\r\n\r\n" + withID(3, "paramsDelete") + "\r" +
			`{"event":"roomAdd","messageId":4}` + "\n") // in one segment
		c.wants(ok(1, "true"), ok(2, "{}"), ok(3, ""), `{"error":"room does not exist","context":"response","messageId":4}`)
		c.raw("say r some  t\xc3")
		c.raw("\xabxt \n") // half a character was in the other segment
		first, second := c.hears(), c.hears()
		if strings.Contains(second, `"status"`) { // the answer and the message may come either way round
			first = second + first
		} else {
			first += second
		}
		if !strings.HasPrefix(first, `{"status":"OK","context":"response","messageId":"`) ||
			!strings.Contains(first, `{"message":"some  tëxt ","room":"r","from":"n-`) {
			s.Errorf("%s", first)
		}
	})
}

// As actionhero-node-client needs it: the answer to paramAdd has the id from
// before.
func TestStickyMessageID(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	c.says("paramAdd messageId=a", "paramAdd messageId=b", "roomAdd r", "nothing", "paramAdd messageId=c")
	c.hears() // has an id of the server's
	c.wants(`{"status":"OK","context":"response","messageId":"a"}`, `{"status":"OK","context":"response","data":true,"messageId":"b"}`)
	rest := []string{c.hears(), c.hears()} // actions run beside verbs
	for _, want := range []string{`{"error":"unknown action or invalid apiVersion","context":"response","messageId":"b"}`, `{"status":"OK","context":"response","messageId":"b"}`} {
		if rest[0] != want && rest[1] != want {
			t.Errorf("heard %q, want %s among them", rest, want)
		}
	}
}

func TestGoodbyes(t *testing.T) {
	const plain = `{"status":"Bye","context":"api"}`
	everywhere(t, func(s *site) {
		for _, last := range []string{"quit\n", "exit\r\n", "\x04", "\xff\xf4\xff\xfd\x06", `{"event":"quit"}` + "\n", "quit\nroomAdd r\nnothing\n"} {
			c := s.dial()
			c.raw(last)
			c.wants(plain)
			c.wantsEnd()
			c.Close()
		}
	})
}

// Who closes only its own side still hears the answers.
func TestEndOfTheClient(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.says(withID(1, "roomAdd"), withID(2, "roomLeave"))
		c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		c.wants(ok(1, "true"), ok(2, "true"))
		c.wantsEnd() // and no goodbye
	})
}

func TestLostClientIsDone(t *testing.T) {
	everywhere(t, func(s *site) {
		c, other := s.dial(), s.dial()
		for _, m := range []*client{other, c} {
			m.says(withID(1, "roomAdd"))
			m.wants(ok(1, "true"))
		}
		c.raw("say r half a line")
		c.Close()
		for { // until it has left the room
			other.says(withID(2, "roomView"))
			if strings.Contains(other.hears(), `"membersCount":1`) {
				break
			}
		}
	})
}

func TestLongLineIsRefusedWhileItArrives(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw("say r " + strings.Repeat("x", 95)) // has not ended
		c.wants(`{"error":"DATA_LENGTH_TOO_LONG","context":"response"}`)
		c.raw(strings.Repeat("x", 100_000))
		c.says("", withID(1, "roomAdd"))
		c.wants(ok(1, "true"))
		c.says(`{"event":`, "say r \xff", strings.Repeat("[", 99))
		c.wants(`{"error":"invalid JSON","context":"response"}`, `{"error":"text is not valid UTF-8","context":"response"}`,
			`{"error":"JSON is nested too deep","context":"response"}`)
	}, func(e *engine.Config, _ *tcp.Server) { e.Limits.MessageBytes = 100 })
}

// A line that is longer than anybody types must end in time: else each connection
// could have the server keep a message's worth of memory for ever.
func TestALineThatIsNotUTF8IsRefusedWhileItArrives(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw("say r \xf4\x90")
		if got := c.hears(); !strings.Contains(got, "text is not valid UTF-8") {
			s.Errorf("heard %s", got)
		}
		c.raw("and the rest\n" + withID(1, "roomAdd") + "\n")
		c.wants(ok(1, "true"))
	})
}

func TestALongLineMustEnd(t *testing.T) {
	const longer = 5 << 10 // than what may take its time
	everywhere(t, func(s *site) {
		typed, long, endless := s.dial(), s.dial(), s.dial()
		typed.raw("paramsV")
		endless.raw(strings.Repeat("x", longer))
		endless.wants(`{"status":"Bye","context":"api","reason":"line took too long"}`)
		endless.wantsEnd()
		for range 3 { // each line has its own time
			long.raw(strings.Repeat("x", longer))
			long.raw("\n")
			long.hears()
		}
		typed.raw("iew\n")
		if got := typed.hears(); !strings.HasPrefix(got, `{"status":"OK"`) {
			s.Error(got)
		}
	}, func(_ *engine.Config, s *tcp.Server) { s.LineTimeout = 100 * time.Millisecond })
}

func TestDelimiter(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw(withID(1, "roomAdd") + "||" + withID(2, "roomLeave") + "|")
		c.wants(ok(1, "true"))
		c.raw("|")
		c.wants(ok(2, "true"))
	}, func(_ *engine.Config, s *tcp.Server) { s.Delimiter = "||" })
}

func TestFullNodeSaysSo(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *tcp.Server) { e.Limits.Connections = 1 })
	s.dial()
	late := s.connect()
	late.wants(`{"status":"Bye","context":"api","reason":"too many connections","retryAfter":5000}`)
	late.wantsEnd()
}

type closedDoor struct{ hook.Middleware }

func (closedDoor) Asks(h hook.Hook, _, _ string) bool { return h == hook.Connect }

func (closedDoor) Decide(context.Context, *hook.Event) hook.Verdict {
	return hook.Verdict{Outcome: hook.Denied, Reason: `not "you"`}
}

func TestDeniedConnectionHearsTheReason(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *tcp.Server) { e.Middleware = closedDoor{} })
	c := s.connect()
	c.wants(`{"status":"Bye","context":"api","reason":"not \"you\""}`)
	c.wantsEnd()
}

func TestShutdown(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		go s.engine.Shutdown(ctx, 10*time.Millisecond)
		c.wants(`{"status":"Bye","context":"api","reason":"shutdown"}`)
		c.wantsEnd()
	})
}

func TestEndOfServeClosesAllConnections(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		s.stop()
		if n := s.engine.Stats().Connections; n != 0 {
			s.Errorf("%d connections outlive Serve", n)
		}
		c.wants(`{"status":"Bye","context":"api","reason":"shutdown"}`)
		c.wantsEnd()
	})
}

func TestSlowHandshakeIsEnded(t *testing.T) {
	s := newTLSSite(t, func(_ *engine.Config, s *tcp.Server) { s.HandshakeTimeout = 50 * time.Millisecond })
	s.tls = nil
	c := s.connect() // says nothing
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTenantOfTheTLSName(t *testing.T) {
	s := newTLSSite(t, func(e *engine.Config, s *tcp.Server) {
		e.Tenants = append(e.Tenants, engine.TenantConfig{Name: "acme", Hosts: []string{"acme.example"}, StartingRooms: []string{"acme"}})
	})
	for name, room := range map[string]string{"acme.example": "acme", "other.example": "r"} {
		s.tls = &tls.Config{InsecureSkipVerify: true, ServerName: name}
		c := s.dial()
		c.says(fmt.Sprintf(`{"event":"roomAdd","room":%q,"messageId":1}`, room))
		c.wants(ok(1, "true"))
	}
}

func TestListenerOfAnotherTenant(t *testing.T) {
	s := newSite(t, func(e *engine.Config, s *tcp.Server) {
		e.Tenants = append(e.Tenants, engine.TenantConfig{Name: "acme", StartingRooms: []string{"acme"}})
		s.Tenant = "acme"
	})
	c := s.dial()
	c.says(`{"event":"roomAdd","room":"acme","messageId":1}`)
	c.wants(ok(1, "true"))
}

// Whole lines, in order, for everyone, whoever speaks.
func TestManySpeakers(t *testing.T) {
	const speakers, messages = 5, 100
	everywhere(t, func(s *site) {
		clients := make([]*client, speakers)
		for i := range clients {
			clients[i] = s.dial()
			clients[i].says(withID(1, "roomAdd"))
			clients[i].wants(ok(1, "true"))
		}
		for i, c := range clients {
			go func() {
				for k := range messages {
					c.Write([]byte(fmt.Sprintf("say r %d %d %s\r\n", i, k, strings.Repeat("z", k*10))))
				}
			}()
		}
		for _, c := range clients {
			var next [speakers]int
			for heard := 0; heard < speakers*messages; {
				line := c.hears()
				if strings.HasPrefix(line, `{"status":"OK"`) {
					continue
				}
				var who, k int
				if _, err := fmt.Sscanf(line, `{"message":"%d %d`, &who, &k); err != nil || k != next[who] ||
					!strings.HasPrefix(line, fmt.Sprintf(`{"message":"%d %d %s",`, who, k, strings.Repeat("z", k*10))) {
					s.Fatalf("message %d of %d: %.80s, %v", next[who], who, line, err)
				}
				next[who]++
				heard++
			}
		}
	})
}

// Blank lines are read no faster than their price allows: they are no requests, and yet
// cost the node more than other bytes do.
func TestAFloodOfBlankLinesIsHeldUp(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		begun := time.Now()
		c.raw(strings.Repeat(" \n", 24_000))
		c.says("detailsView")
		c.hears()
		if took := time.Since(begun); took < 900*time.Millisecond {
			s.Errorf("24,000 blank lines took %v", took)
		}
	}, func(e *engine.Config, _ *tcp.Server) { e.Limits.VerbsPerSecond = 100 })
}
