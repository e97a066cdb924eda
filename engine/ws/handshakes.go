package ws

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// handshakes has the start time of each connection that has not yet sent a complete
// request.
type handshakes struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

// ConnState is a function for the field ConnState of http.Server. It counts the
// connections that net/http closes because their handshake takes too long, and passes those
// that are no clients to Config.Pending.
func (s *Server) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.handshakes.begin(c)
		s.cfg.Pending.Add(c)
	case http.StateIdle:
		s.handshakes.end(c)
	case http.StateHijacked:
		s.handshakes.end(c)
		s.cfg.Pending.Remove(c)
	case http.StateClosed:
		s.cfg.Pending.Remove(c)
		if s.handshakes.end(c) >= s.cfg.HandshakeTimeout {
			s.cfg.Engine.CountSlowHandshake()
		}
	}
}

func (h *handshakes) begin(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == nil {
		h.since = map[net.Conn]time.Time{}
	}
	h.since[c] = time.Now()
}

// end returns the duration of the handshake, or 0 if it had already ended.
func (h *handshakes) end(c net.Conn) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	began, ok := h.since[c]
	if !ok {
		return 0
	}
	delete(h.since, c)
	return time.Since(began)
}
