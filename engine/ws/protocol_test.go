package ws_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/ws"
)

// received is a frame that a client receives.
type received struct {
	first   byte
	payload string
}

func closed(code uint16, reason string) received {
	return received{closing, string(binary.BigEndian.AppendUint16(nil, code)) + reason}
}

func wrong(reason string) received { return closed(1002, reason) }

// TestConformance checks the requirements of RFC 6455 for a server, and the server's
// choices where the RFC allows several.
func TestConformance(t *testing.T) {
	big := strings.Repeat("x", 1000)
	answer := func(s string) received { return received{text, notThere(s)} }
	const bye = "\x03\xe8bye"
	for _, c := range []struct {
		name string
		send string
		want []received // unless the last one is a close frame, the connection stays open
	}{
		{"a text", frame(text, nope("é")), []received{answer("é")}},
		{"fragments", frame(startText, `{"event":"`) + frame(more, "no") + frame(more, "") + frame(end, `pe","messageId":1}`), []received{answer("nope")}},
		{"a character in two fragments", frame(startText, "{\"event\":\"\xc3") + frame(end, "\xa9\",\"messageId\":1}"), []received{answer("é")}},
		{"a ping", frame(ping, "you"), []received{{pong, "you"}}},
		{"the longest ping", frame(ping, big[:125]), []received{{pong, big[:125]}}},
		{"a ping between fragments", frame(startText, `{"event":"x",`) + frame(ping, "1") + frame(end, `"messageId":1}`), []received{{pong, "1"}, answer("x")}},
		{"pings among texts, in order", frame(ping, "1") + frame(text, nope("2")) + frame(ping, "3") + frame(text, nope("4")),
			[]received{{pong, "1"}, answer("2"), {pong, "3"}, answer("4")}},
		{"an unsolicited pong", frame(pong, "x") + frame(text, nope("on")), []received{answer("on")}},
		{"an empty text", frame(text, ""), []received{{text, `{"status":"Error: invalid JSON","error":"Error: invalid JSON","context":"response","data":{}}`}}},
		{"invalid JSON", frame(text, "{"), []received{{text, `{"status":"Error: invalid JSON","error":"Error: invalid JSON","context":"response","data":{}}`}}},
		{"JSON that is not an object", frame(text, `{"messageId":1}`) + frame(text, nope("on")), []received{answer("undefined"), answer("on")}},
		{"a text of 2000 bytes", frame(text, `{"event":"x","messageId":1,"a":"`+strings.Repeat("y", 1966)+`"}`), []received{
			{text, strings.Replace(notThere("x"), `"data":{}`, `"data":{"a":"`+strings.Repeat("y", 1966)+`"}`, 1)}}},

		{"a close", frame(closing, bye), []received{{closing, bye}}},
		{"a close without a code", frame(closing, ""), []received{{closing, ""}}},
		{"a close with a code of an application", frame(closing, "\x0b\xb8"), []received{{closing, "\x0b\xb8"}}},
		{"a close in a message", frame(startText, "{") + frame(closing, bye), []received{{closing, bye}}},
		{"nothing after a close", frame(ping, "1") + frame(closing, bye) + frame(ping, "2") + frame(text, nope("x")), []received{{pong, "1"}, {closing, bye}}},
		{"a close whose reason is not UTF-8", frame(closing, "\x03\xe8\xff"), []received{closed(1007, "text is not valid UTF-8")}},
		{"a binary frame", frame(binaryFrame, "x"), []received{closed(1003, "binary frames are not supported")}},
		{"a text that is not UTF-8", frame(text, "\"\xff\""), []received{closed(1007, "text is not valid UTF-8")}},
		{"fragments that are not UTF-8", frame(startText, "\"\xc3") + frame(end, "\""), []received{closed(1007, "text is not valid UTF-8")}},
		{"a text that is too big", frame(text, strings.Repeat("x", 2001)), []received{closed(1009, "message too big")}},
		{"fragments that are too big", frame(startText, big) + frame(more, big) + frame(end, "x"), []received{closed(1009, "message too big")}},
		{"no mask", "\x81\x02{}", []received{wrong("frame is not masked")}},
		{"a length that is negative", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", []received{wrong("frame length is negative")}},
		{"a close code that is not assigned", frame(closing, "\x03\xec"), []received{wrong("close code is not valid")}},
		{"half a close code", frame(closing, "\x03"), []received{wrong("close code is not valid")}},
		{"reserved bit 1", frame(0xc1, "{}"), []received{wrong("reserved bit is set")}},
		{"reserved bit 2", frame(0xa1, "{}"), []received{wrong("reserved bit is set")}},
		{"reserved bit 3 of a ping", frame(0x99, ""), []received{wrong("reserved bit is set")}},
		{"an unknown opcode for data", frame(0x83, "{}"), []received{wrong("unknown opcode")}},
		{"an unknown opcode for control", frame(0x8b, ""), []received{wrong("unknown opcode")}},
		{"a ping in fragments", frame(0x09, "x"), []received{wrong("control frame is fragmented or too long")}},
		{"a ping that is too long", frame(ping, big[:126]), []received{wrong("control frame is fragmented or too long")}},
		{"a fragment without a message", frame(end, "x"), []received{wrong("continuation without a message")}},
		{"a text within a text", frame(startText, "{") + frame(text, "}"), []received{wrong("message begins before the last one ended")}},
		{"a 16-bit length of 125", "\x81\xfe\x00\x7d", []received{wrong("frame length is not in its shortest form")}},
		{"a 64-bit length of 65535", "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", []received{wrong("frame length is not in its shortest form")}},

		// An error is reported before the rest of the frame or message arrives.
		{"a length over the limit", "\x81\xfe\x07\xd1", []received{closed(1009, "message too big")}},
		{"a length of 2^62", "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00", []received{closed(1009, "message too big")}},
		{"a fragment that makes the message too big", frame(startText, big+big[:990]) + "\x80\x8b", []received{closed(1009, "message too big")}},
		{"a bad byte early in a frame", "\x81\xfe\x07\xd0\x00\x00\x00\x00\"\xff", []received{closed(1007, "text is not valid UTF-8")}},
		{"a character too large early in a frame", "\x81\xfe\x07\xd0\x00\x00\x00\x00\"\xf4\x90", []received{closed(1007, "text is not valid UTF-8")}},
		{"a bad fragment of many", frame(startText, "\"\xe2\x82") + frame(more, "("), []received{closed(1007, "text is not valid UTF-8")}},
		{"a binary frame that has begun", "\x02\xfe", []received{closed(1003, "binary frames are not supported")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			limit := func(e *engine.Config, _ *ws.Config) { e.Limits.MessageBytes = 2000 }
			everywhere(t, func(s *site) {
				for _, path := range []string{"/ws", "/primus"} {
					conn := s.dial(path)
					conn.raw(c.send)
					conn.wantsAll(c.want)
				}
			}, limit)
		})
	}
}

func (c *client) wantsAll(want []received) {
	c.Helper()
	for _, w := range want {
		first, got := c.receive()
		if (received{first, got}) != w {
			c.Fatalf("received %#x %q, want %#x %q", first, got, w.first, w.payload)
		}
	}
	if want[len(want)-1].first == closing {
		c.wantsEnd()
		return
	}
	c.send(nope("alive"))
	c.wants(notThere("alive"))
}

func TestFrameAfterTheHandshakeIsRead(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.connect()
		c.raw(s.handshake("/ws") + frame(text, nope("early")))
		c.upgraded()
		c.receive() // the welcome
		c.wants(notThere("early"))
	})
}

func TestFramesArriveInPieces(t *testing.T) {
	everywhere(t, func(s *site) {
		c := s.dial("/ws")
		for _, b := range []byte(frame(ping, "slow") + frame(text, nope("slow"))) {
			c.raw(string([]byte{b}))
		}
		c.wantsAll([]received{{pong, "slow"}, {text, notThere("slow")}})
	})
}

// TestConcurrentFramesAreWhole checks that messages, answers and pongs that are sent at
// the same time arrive as whole frames, and each kind in order.
func TestConcurrentFramesAreWhole(t *testing.T) {
	everywhere(t, func(s *site) {
		const messages = 300
		c, speaker := s.dial("/ws"), s.dial("/ws")
		for _, m := range []*client{c, speaker} {
			m.send(`{"event":"roomAdd","room":"r","messageId":1}`)
			m.wants(`{"status":"OK","context":"response","data":true,"messageId":1}`)
		}
		go func() {
			for i := range messages {
				speaker.Write([]byte(frame(text, fmt.Sprintf(`{"event":"say","room":"r","message":"%d %s"}`, i, strings.Repeat("z", i*7)))))
			}
		}()
		go func() {
			for i := range messages {
				c.Write([]byte(frame(ping, fmt.Sprint(i)) + frame(text, fmt.Sprintf(`{"event":"x","messageId":%d}`, i+1))))
			}
		}()
		var said, pongs, answers int
		for said+pongs+answers < 3*messages {
			first, payload := c.receive()
			switch {
			case first == pong && payload == fmt.Sprint(pongs):
				pongs++
			case first == text && strings.HasPrefix(payload, fmt.Sprintf(`{"message":"%d %s","room"`, said, strings.Repeat("z", said*7))):
				said++
			case first == text && strings.HasSuffix(payload, fmt.Sprintf(`,"messageId":%d}`, answers+1)):
				answers++
			default:
				s.Fatalf("after %d messages, %d pongs, %d answers: %#x %q", said, pongs, answers, first, payload)
			}
		}
	})
}

// TestCloseFrameIsNotLost checks that a client that is still sending when it is closed
// receives the close frame.
func TestCloseFrameIsNotLost(t *testing.T) {
	everywhere(t, func(s *site) {
		flood := strings.Repeat(frame(text, nope("x")), 200)
		for range 20 {
			c := s.dial("/ws")
			c.raw(frame(text, `{"event":"quit"}`) + flood)
			c.wantsClose(1000, "quit")
			c.Close()
		}
	})
}
