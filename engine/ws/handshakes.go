package ws

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// handshakes has the connections that have not yet sent a complete request.
type handshakes struct {
	mu     sync.Mutex
	began  map[net.Conn]handshake
	closed bool
}

type handshake struct {
	since time.Time
	own   bool // net/http does not have the connection
}

// ConnState is a function for the field ConnState of http.Server. It counts the
// connections that net/http closes because their handshake takes too long, and passes those
// that are no clients to Config.Pending.
func (s *Server) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		since := time.Now()
		if passed, ok := c.(*passedConn); ok {
			since = passed.since
		}
		s.handshakes.begin(c, handshake{since: since})
		s.cfg.Pending.Add(c)
	case http.StateIdle:
		s.handshakes.end(c)
	case http.StateHijacked:
		s.handshakes.end(c)
		s.cfg.Pending.Remove(c)
	case http.StateClosed:
		s.cfg.Pending.Remove(c)
		s.countIfSlow(s.handshakes.end(c))
	}
}

// countIfSlow counts a slow handshake if a connection was closed after this time.
func (s *Server) countIfSlow(took time.Duration) {
	if took >= s.cfg.HandshakeTimeout {
		s.cfg.Engine.CountSlowHandshake()
	}
}

// begin adds a connection. It returns false after close.
func (h *handshakes) begin(c net.Conn, b handshake) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began == nil {
		h.began = map[net.Conn]handshake{}
	}
	if !h.closed {
		h.began[c] = b
	}
	return !h.closed
}

// end removes a connection and returns the duration of its handshake, or 0 if the handshake
// had already ended.
func (h *handshakes) end(c net.Conn) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.began[c]
	if !ok {
		return 0
	}
	delete(h.began, c)
	return time.Since(b.since)
}

// close closes the connections that net/http does not have.
func (h *handshakes) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c, b := range h.began {
		if b.own {
			c.Close()
			delete(h.began, c)
		}
	}
}
