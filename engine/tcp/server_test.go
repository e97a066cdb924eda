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
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/tcp"
)

// withID returns a request with a messageId.
func withID(id int, event string) string {
	return fmt.Sprintf(`{"event":%q,"room":"r","messageId":%d}`, event, id)
}

func ok(id int, data string) string {
	if data != "" {
		data = `,"data":` + data
	}
	return fmt.Sprintf(`{"status":"OK","context":"response"%s,"messageId":%d}`, data, id)
}

func TestRequestsRunInOrder(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw(withID(1, "roomAdd") + "\n" + withID(2, "paramsView") + "\r\n\r\n" + withID(3, "paramsDelete") + "\r" +
			`{"event":"roomAdd","messageId":4}` + "\n") // in one segment
		c.wants(ok(1, "true"), ok(2, "{}"), ok(3, ""), `{"error":"room does not exist","context":"response","messageId":4}`)
		c.raw("say r some  t\xc3")
		c.raw("\xabxt \n") // the first half of the character is in the other segment
		first, second := c.receive(), c.receive()
		if strings.Contains(second, `"status"`) { // the answer and the message may arrive in either order
			first = second + first
		} else {
			first += second
		}
		if !strings.HasPrefix(first, `{"status":"OK","context":"response","id":"`) ||
			!strings.Contains(first, `{"message":"some  tëxt ","room":"r","from":"n-`) {
			s.Errorf("%s", first)
		}
	})
}

// TestStickyMessageID checks the order that actionhero-node-client needs: the answer to
// paramAdd has the previous id.
func TestStickyMessageID(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	c.send("paramAdd messageId=a", "paramAdd messageId=b", "roomAdd r", "nothing", "paramAdd messageId=c")
	c.receive() // with an id that the server made
	c.wants(`{"status":"OK","context":"response","messageId":"a"}`, `{"status":"OK","context":"response","data":true,"messageId":"b"}`)
	rest := []string{c.receive(), c.receive()} // actions run concurrently
	for _, want := range []string{`{"error":"unknown action or invalid apiVersion","context":"response","messageId":"b"}`, `{"status":"OK","context":"response","messageId":"b"}`} {
		if rest[0] != want && rest[1] != want {
			t.Errorf("received %q, want %s among them", rest, want)
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

// TestHalfClosedClientReceivesItsAnswers checks that a client that closes only its own
// side still receives the answers.
func TestHalfClosedClientReceivesItsAnswers(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.send(withID(1, "roomAdd"), withID(2, "roomLeave"))
		c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		c.wants(ok(1, "true"), ok(2, "true"))
		c.wantsEnd() // without a last line
	})
}

func TestLostClientIsDone(t *testing.T) {
	everywhere(t, func(s *site) {
		c, other := s.dial(), s.dial()
		for _, m := range []*client{other, c} {
			m.send(withID(1, "roomAdd"))
			m.wants(ok(1, "true"))
		}
		c.raw("say r half a line")
		c.Close()
		for { // until it has left the room
			other.send(withID(2, "roomView"))
			if strings.Contains(other.receive(), `"membersCount":1`) {
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
		c.send("", withID(1, "roomAdd"))
		c.wants(ok(1, "true"))
		c.send(`{"event":`, "say r \xff", strings.Repeat("[", 99))
		c.wants(`{"error":"invalid JSON","context":"response"}`, `{"error":"text is not valid UTF-8","context":"response"}`,
			`{"error":"JSON is nested too deep","context":"response"}`)
	}, func(e *engine.Config, _ *tcp.Server) { e.Limits.MessageBytes = 100 })
}

func TestALineThatIsNotUTF8IsRefusedWhileItArrives(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		c.raw("say r \xf4\x90")
		if got := c.receive(); !strings.Contains(got, "text is not valid UTF-8") {
			s.Errorf("received %s", got)
		}
		c.raw("and the rest\n" + withID(1, "roomAdd") + "\n")
		c.wants(ok(1, "true"))
	})
}

// TestALongLineMustEnd checks that a long line has a time limit. Without the limit,
// each connection could hold the memory of a message for ever.
func TestALongLineMustEnd(t *testing.T) {
	const longer = 5 << 10 // more than a line without a time limit
	everywhere(t, func(s *site) {
		typed, long, endless := s.dial(), s.dial(), s.dial()
		typed.raw("paramsV")
		endless.raw(strings.Repeat("x", longer))
		endless.wants(`{"status":"Bye","context":"api","reason":"line took too long"}`)
		endless.wantsEnd()
		for range 3 { // each line has its own time
			long.raw(strings.Repeat("x", longer))
			long.raw("\n")
			long.receive()
		}
		typed.raw("iew\n")
		if got := typed.receive(); !strings.HasPrefix(got, `{"status":"OK"`) {
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

func TestFullNodeRefuses(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *tcp.Server) { e.Limits.Connections = 1 })
	s.dial()
	late := s.connect()
	late.wants(`{"status":"Bye","context":"api","reason":"too many connections","retryAfter":5000}`)
	late.wantsEnd()
}

func TestDeniedConnectionReceivesTheReason(t *testing.T) {
	denying := new(enginetest.Middleware).On(hook.Connect, func(context.Context, *hook.Event) hook.Verdict {
		return hook.Verdict{Outcome: hook.Denied, Reason: `not "you"`}
	})
	s := newSite(t, func(e *engine.Config, _ *tcp.Server) { e.Middleware = denying })
	c := s.connect()
	c.wants(`{"status":"Bye","context":"api","reason":"not \"you\""}`)
	c.wantsEnd()
}

func TestShutdown(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		go s.engine.Shutdown(ctx, 10*time.Millisecond)
		c.wants(`{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}`)
		c.wantsEnd()
	})
}

func TestEndOfServeClosesAllConnections(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		s.stop()
		if n := s.engine.Stats().Connections; n != 0 {
			s.Errorf("%d connections are open after Serve", n)
		}
		c.wants(`{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}`)
		c.wantsEnd()
	})
}

func TestSlowHandshakeIsEnded(t *testing.T) {
	s := newTLSSite(t, func(_ *engine.Config, s *tcp.Server) { s.HandshakeTimeout = 50 * time.Millisecond })
	s.tls = nil
	c := s.connect() // sends nothing
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
		c.send(fmt.Sprintf(`{"event":"roomAdd","room":%q,"messageId":1}`, room))
		c.wants(ok(1, "true"))
	}
}

func TestListenerOfAnotherTenant(t *testing.T) {
	s := newSite(t, func(e *engine.Config, s *tcp.Server) {
		e.Tenants = append(e.Tenants, engine.TenantConfig{Name: "acme", StartingRooms: []string{"acme"}})
		s.Tenant = "acme"
	})
	c := s.dial()
	c.send(`{"event":"roomAdd","room":"acme","messageId":1}`)
	c.wants(ok(1, "true"))
}

// TestConcurrentSenders checks that every member receives the messages of concurrent
// senders as whole lines, and those of each sender in order.
func TestConcurrentSenders(t *testing.T) {
	const senders, messages = 5, 100
	everywhere(t, func(s *site) {
		clients := make([]*client, senders)
		for i := range clients {
			clients[i] = s.dial()
			clients[i].send(withID(1, "roomAdd"))
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
			var next [senders]int
			for n := 0; n < senders*messages; {
				line := c.receive()
				if strings.HasPrefix(line, `{"status":"OK"`) {
					continue
				}
				var who, k int
				if _, err := fmt.Sscanf(line, `{"message":"%d %d`, &who, &k); err != nil || k != next[who] ||
					!strings.HasPrefix(line, fmt.Sprintf(`{"message":"%d %d %s",`, who, k, strings.Repeat("z", k*10))) {
					s.Fatalf("message %d of %d: %.80s, %v", next[who], who, line, err)
				}
				next[who]++
				n++
			}
		}
	})
}

// TestBlankLinesAreRateLimited checks that the rate limit applies to blank lines. They
// are not requests, but cost more than other bytes.
func TestBlankLinesAreRateLimited(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial()
		begun := time.Now()
		c.raw(strings.Repeat(" \n", 24_000))
		c.send("detailsView")
		c.receive()
		if took := time.Since(begun); took < 900*time.Millisecond {
			s.Errorf("24,000 blank lines took %v", took)
		}
	}, func(e *engine.Config, _ *tcp.Server) { e.Limits.VerbsPerSecond = 100 })
}

// TestIncompleteLinesAreBounded checks that the incomplete lines of many connections take no more memory than
// the limit, that a client that exceeds it is disconnected, and that no memory counts after that.
func TestIncompleteLinesAreBounded(t *testing.T) {
	const limit = 1 << 20
	everywhere(t, func(s *site) {
		part := `{"event":"` + strings.Repeat("x", 40<<10)
		var open []*client
		for s.engine.Stats().Closed[3009] == 0 && len(open) < 100 {
			c := s.dial()
			c.raw(part)
			open = append(open, c)
			s.await("the part is counted or refused", func(st engine.Stats) bool {
				return st.IncomingMemory >= int64(len(open))*40<<10 || st.Closed[3009] > 0
			})
		}
		if n := len(open); n < 5 || n > 14 {
			s.Errorf("a client was closed after %d had sent, want one with which they exceed half of %d bytes", n, limit)
		}
		const bye = `{"status":"Bye","context":"api","reason":"too many incomplete messages"}`
		refused := 0 // the server reads a part in pieces, so it may refuse more than one
		for _, c := range open {
			_, _ = io.WriteString(c.Conn, `","messageId":1}`+"\r\n") // it fails if the server has closed the connection
			switch line := c.receive(); {
			case line == bye:
				refused++
			case !strings.HasPrefix(line, `{"error":"verb not found`):
				c.Errorf("received %.200q", line)
			}
		}
		if refused == 0 || int64(refused) != int64(s.engine.Stats().Closed[3009]) {
			s.Errorf("%d clients were told the reason, the engine closed %v", refused, s.engine.Stats().Closed)
		}
		s.await("nothing is counted", func(st engine.Stats) bool { return st.IncomingMemory == 0 })
	}, func(e *engine.Config, _ *tcp.Server) { e.Limits.OutboxMemory = limit })
}

// await waits until the stats of the engine meet the condition.
func (s *site) await(what string, condition func(engine.Stats) bool) {
	s.Helper()
	tick, end := time.NewTicker(time.Millisecond), time.After(timeout)
	defer tick.Stop()
	for !condition(s.engine.Stats()) {
		select {
		case <-tick.C:
		case <-end:
			s.Fatalf("%s: not after %v: %+v", what, timeout, s.engine.Stats())
		}
	}
}
