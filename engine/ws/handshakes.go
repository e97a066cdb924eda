package ws

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// handshakes knows the connections that have not yet asked for anything, and
// since when.
type handshakes struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

// ConnState is for http.Server's field of that name. It counts the clients that
// were let go since they took too long to ask for a WebSocket, which net/http
// keeps to itself.
func (s *Server) ConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.handshakes.begin(c)
	case http.StateHijacked, http.StateIdle:
		s.handshakes.end(c)
	case http.StateClosed:
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

// end says how long it took; 0 if it was over already.
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
