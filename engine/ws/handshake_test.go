package ws_test

import (
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/ws"
)

// TestAnswerToAHandshake uses the example of RFC 6455, section 1.3.
func TestAnswerToAHandshake(t *testing.T) {
	s := newSite(t)
	for name, headers := range map[string]string{
		"as in the RFC": "Connection: Upgrade\r\nUpgrade: websocket",
		"lists":         "Connection: keep-alive, upgrade\r\nUpgrade: h2c , WebSocket",
		"many lines":    "Connection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: websocket",
		"extensions":    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat",
	} {
		c := s.connect()
		c.raw("GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + headers + "\r\n\r\n")
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("%s: %s %v", name, res.Status, res.Header)
		}
		for _, offered := range []string{"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} {
			if got := res.Header.Get(offered); got != "" {
				t.Errorf("%s: the server accepts %s: %s", name, offered, got)
			}
		}
		c.wants(`{"welcome":"Welcome to the test api","context":"api"}`)
	}
}

// TestWrongHandshakes tests that a request other than a handshake gets an HTTP error with
// what is wrong, and reserves no place for a connection.
func TestWrongHandshakes(t *testing.T) {
	s := newSite(t, func(c *engine.Config, _ *ws.Config) { c.Limits.Connections = 1 })
	s.dial("/ws") // the only place is taken: a reservation would be refused with 503
	const right = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, c := range []struct {
		old, new string
		status   int
		header   string // in the answer
	}{
		{"HTTP/1.1", "HTTP/1.0", http.StatusUpgradeRequired, "Upgrade"},
		{"Connection: Upgrade", "Connection: upgraded", http.StatusUpgradeRequired, "Connection"},
		{"Upgrade: websocket", "Upgrade: websockets", http.StatusUpgradeRequired, "Upgrade"},
		{"GET", "POST", http.StatusMethodNotAllowed, "Allow"},
		{"13", "8", http.StatusBadRequest, "Sec-Websocket-Version"},
		{"Sec-WebSocket-Version: 13\r\n", "", http.StatusBadRequest, "Sec-Websocket-Version"},
		{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", http.StatusBadRequest, ""},
		{"Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key", http.StatusBadRequest, ""},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", http.StatusBadRequest, ""},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSB4", http.StatusBadRequest, ""}, // 18 bytes
		{"dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==", http.StatusBadRequest, ""},
		{"", "", http.StatusServiceUnavailable, "Retry-After"},
	} {
		client := s.connect()
		client.raw(strings.Replace(right, c.old, c.new, 1))
		res, err := http.ReadResponse(client.r, nil)
		if err != nil {
			t.Fatalf("%q for %q: %v", c.new, c.old, err)
		}
		if res.StatusCode != c.status || c.header != "" && res.Header.Get(c.header) == "" {
			t.Errorf("%q for %q: %s %v, want %d and the header %q", c.new, c.old, res.Status, res.Header, c.status, c.header)
		}
	}
}

// TestBytesOfAConnect bounds the bytes that are allocated when a client connects and joins;
// they determine the work of the garbage collector. The bound includes the client of this
// test (5 KB) and what the race detector adds (2.5 KB).
func TestBytesOfAConnect(t *testing.T) {
	const rounds, clients, most = 5, 50, 17_500
	s := newSite(t)
	enter := func() {
		c := s.dial("/ws")
		c.send(`{"event":"roomAdd","room":"r","messageId":1}`)
		c.wants(`{"status":"OK","context":"response","data":true,"messageId":1}`)
	}
	enter()                         // the first client makes the room
	least := uint64(math.MaxUint64) // of the rounds: a collection empties pools of buffers
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range clients {
			enter()
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/clients)
	}
	if least > most {
		t.Errorf("a client that connects and joins allocates %d bytes, want at most %d", least, most)
	}
}
