package ws_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/ws"
)

// This file tests attacks of clients on the processors and the memory of a node.

// TestSlowHandshakesAreEndedAndCounted checks that a connection whose handshake takes
// too long is closed and counted, whatever it sends, and that an open WebSocket is not.
func TestSlowHandshakesAreEndedAndCounted(t *testing.T) {
	everywhere(t, func(s *site) {
		s.dial("/ws")
		whole := s.handshake("/ws")
		for _, half := range []string{"", whole[:1], whole[:len(whole)-2]} {
			c := s.connect()
			c.raw(half)
			if _, err := io.Copy(io.Discard, c); err != nil && s.http.TLS == nil {
				s.Errorf("after %q: %v, want the end", half, err)
			}
		}
		s.await("three slow handshakes", func(st engine.Stats) bool { return st.SlowHandshakes == 3 })
	}, func(_ *engine.Config, c *ws.Config) { c.HandshakeTimeout = 200 * time.Millisecond })
}

// TestControlFramesWithinAMessageAreRateLimited checks that the rate limit of verbs
// applies to control frames within a message as well.
func TestControlFramesWithinAMessageAreRateLimited(t *testing.T) {
	const perSecond, burst, excess = 100, 200, 40
	for name, control := range map[string]string{"pings": frame(ping, ""), "pongs": frame(pong, "")} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(e *engine.Config, _ *ws.Config) { e.Limits.VerbsPerSecond = perSecond })
			c := s.dial("/ws")
			began := time.Now()
			c.raw(frame(startText, `{"event":"x",`) + strings.Repeat(control, burst+excess) + frame(end, `"messageId":1}`))
			for {
				first, got := c.receive()
				if first == pong {
					continue
				}
				if first != text || got != notThere("x") {
					t.Fatalf("received %#x %q, want the answer", first, got)
				}
				break
			}
			if took := time.Since(began); took < excess*time.Second/perSecond*9/10 {
				t.Errorf("%d frames took %v", burst+excess, took)
			}
		})
	}
}

func TestEndlessFragmentsAreRefused(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		c.raw(frame(startText, "{"))
		empty := strings.Repeat(frame(more, ""), 1000)
		go func() { // until the server closes
			for {
				if _, err := io.WriteString(c.Conn, empty); err != nil {
					return
				}
			}
		}()
		c.wantsCode(1009, "too many fragments")
		if n := s.engine.Stats().Closed[1009]; n != 1 {
			s.Errorf("%d were closed with 1009", n)
		}
	}, func(e *engine.Config, _ *ws.Config) { e.Limits.MessageBytes = 2000 })
}

func TestMessageInFragmentsOfOneByteIsRead(t *testing.T) {
	s := newSite(t, func(e *engine.Config, _ *ws.Config) { e.Limits.MessageBytes = 2000 })
	c := s.dial("/ws")
	message := nope(strings.Repeat("x", 1000))
	var b strings.Builder
	b.WriteString(frame(startText, message[:1]))
	for _, x := range message[1 : len(message)-1] {
		b.WriteString(frame(more, string(x)))
	}
	c.raw(b.String() + frame(end, message[len(message)-1:]))
	c.wants(notThere(strings.Repeat("x", 1000)))
}

// TestLargeLengthAllocatesNoMemory checks that a frame header with a large length
// allocates no memory before the bytes arrive, and that the message times out.
func TestLargeLengthAllocatesNoMemory(t *testing.T) {
	everywhere(t, func(s *site) {
		before := inUse()
		for range 20 {
			c := s.dial("/ws")
			c.raw("\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00" + "\x00\x00\x00\x00" + "{")
			c.wantsClose(3009, "message took too long")
		}
		if after := inUse(); after > before+64<<20 {
			s.Errorf("memory grew from %d to %d bytes", before, after)
		}
	}, func(e *engine.Config, c *ws.Config) {
		e.Limits.MessageBytes = 1 << 30
		c.MessageTimeout = 20 * time.Millisecond
	})
}

func TestHalfClosedClientReceivesItsAnswer(t *testing.T) {
	s := newSite(t)
	for _, last := range []string{"", frame(text, nope("x"))[:5]} {
		c := s.dial("/ws")
		c.raw(frame(text, nope("x")) + last)
		c.Conn.(*net.TCPConn).CloseWrite()
		c.wants(notThere("x"))
		c.wantsEnd()
	}
	silent := s.dial("/ws")
	silent.Conn.(*net.TCPConn).CloseWrite()
	silent.wantsEnd()
}

// TestCompressionIsRefused checks that the server does not negotiate compression and
// refuses a compressed frame.
func TestCompressionIsRefused(t *testing.T) {
	s := newSite(t)
	c := s.dial("/ws", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
	c.raw(frame(0xc1, "\xaa\x56\x4a\x2d\x4b\xcd\x2b\x51\x02\x00"))
	c.wantsCode(1002, "")
}

// TestClientThatStopsReadingIsClosed checks that a client that stops reading is closed
// within its limits and counted, and that its room is not affected.
func TestClientThatStopsReadingIsClosed(t *testing.T) {
	const messages = 400
	everywhere(t, func(s *site) {
		stopped := s.dial("/ws")
		if c, ok := stopped.Conn.(*net.TCPConn); ok {
			c.SetReadBuffer(4096)
		}
		talker := s.dial("/ws")
		for _, c := range []*client{stopped, talker} {
			c.send(`{"event":"roomAdd","room":"r","messageId":1}`)
			c.wants(`{"status":"OK","context":"response","data":true,"messageId":1}`)
		}
		long := strings.Repeat("x", 60<<10)
		for i := range messages {
			talker.send(fmt.Sprintf(`{"event":"say","room":"r","message":"%d %s"}`, i, long))
			for heard := 0; heard < 2; heard++ { // its own message and the answer, in any order
				if _, got := talker.receive(); !strings.HasPrefix(got, `{"status":"OK"`) && !strings.HasPrefix(got, fmt.Sprintf(`{"message":"%d x`, i)) {
					s.Fatalf("message %d: received %.60q", i, got)
				}
			}
			talker.SetDeadline(time.Now().Add(timeout))
		}
		s.await("the client that stopped reading is closed", func(st engine.Stats) bool {
			return st.SlowReaders == 1 && st.Closed[3008] == 1 && st.Connections == 1
		})
	}, func(e *engine.Config, _ *ws.Config) {
		e.Limits.OutboxBytes = 256 << 10
		e.Limits.MessageBytes = 64 << 10
	})
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

// wantsCode reads frames until a close frame, and checks its code and the beginning of
// its reason. It does not wait for the end of the connection, because the end may be a
// reset.
func (c *client) wantsCode(code uint16, reason string) {
	c.Helper()
	for {
		first, got, err := c.next()
		if err != nil {
			c.Fatalf("waiting for a close frame: %v", err)
		}
		if first == closing {
			if want := string([]byte{byte(code >> 8), byte(code)}) + reason; !strings.HasPrefix(got, want) {
				c.Fatalf("the close frame is %q, want %q", got, want)
			}
			return
		}
	}
}

// TestIncompleteMessagesAreBounded checks that the incomplete messages of many connections take no more memory than
// the limit, that a client that exceeds it is disconnected, and that no memory counts after that.
func TestIncompleteMessagesAreBounded(t *testing.T) {
	const limit = 1 << 20
	everywhere(t, func(s *site) {
		part := frame(startText, `{"event":"`+strings.Repeat("x", 40<<10))
		var open []*client
		for s.engine.Stats().Closed[3009] == 0 && len(open) < 100 {
			c := s.dial("/ws")
			c.raw(part)
			open = append(open, c)
			s.await("the part is counted or refused", func(st engine.Stats) bool {
				return st.IncomingMemory >= int64(len(open))*50<<10 || st.Closed[3009] > 0
			})
		}
		open[len(open)-1].wantsClose(3009, "too many incomplete messages")
		if n := len(open); n < 5 || n > 12 {
			s.Errorf("client %d was closed, want one with which they exceed half of %d bytes", n, limit)
		}
		s.dial("/ws").raw(frame(text, nope("x")))
		c := s.dial("/ws")
		c.raw(frame(text, nope(strings.Repeat("x", 100))))
		c.wants(notThere(strings.Repeat("x", 100))) // a message that arrives at once is not counted
		for i, c := range open[:len(open)-1] {
			if i%2 == 0 {
				c.Conn.Close()
				continue
			}
			c.raw(frame(end, `","messageId":1}`))
			c.receive()
		}
		s.await("nothing is counted", func(st engine.Stats) bool { return st.IncomingMemory == 0 })
	}, func(e *engine.Config, _ *ws.Config) {
		e.Limits.OutboxMemory, e.Limits.MessageBytes = limit, 64<<10
	})
}
