// Package ws is the WebSocket transport: requests come in as text frames and are
// carried out by the engine; all that goes out, goes through the connection's
// outbox.
//
// github.com/coder/websocket does the handshake. Frames are read here (see frames): a
// length over the limit is refused at the header, text at its first bad byte, and no
// connection keeps a buffer while it is silent. Package wire makes each
// frame once for all receivers; frames are written whole, so that none is torn.
//
// A connection that is silent costs its socket and its place in the engine: on
// Linux no goroutine, elsewhere and with TLS a small one. What reads, reads for
// one connection after another (see [reader]). net/http's own goroutine, with
// its request and buffers, ends with the handshake.
package ws

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// Config is what a Server is made of. Only Engine is needed.
type Config struct {
	Engine *engine.Engine

	// AllowedOrigins are the origins of the web pages that may connect:
	// "https://host[:port]", "host[:port]", or "*" for any. Pages of the host
	// that is connected to may always, and so may clients that are no browsers.
	AllowedOrigins []string

	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// PingInterval is the time between two heartbeats of a connection; 30 s.
	// The clients of ActionHero need one every 45 s.
	PingInterval time.Duration

	// IdleTimeout is how long a client may send nothing after a heartbeat, not
	// even the answer to it; 45 s. It is rounded up to whole intervals.
	IdleTimeout time.Duration

	// MessageTimeout is how long a message may take to arrive, from its first
	// byte to its last; 10 s. Only the client's own network counts: a message is
	// read before it is carried out.
	MessageTimeout time.Duration

	// HandshakeTimeout is how long a client may take from connecting until it has
	// asked for its WebSocket; 5 s. It is here to be counted: ConnState. The
	// http.Server around the handler enforces it, by its ReadHeaderTimeout.
	HandshakeTimeout time.Duration

	// Reading is how silent clients are waited for. The zero value is best; with
	// TLS and outside Linux it makes no difference.
	Reading stream.Reading

	Fallback http.Handler // for requests to other paths; nil: 404
	Log      *slog.Logger // nil: slog.Default()
}

// Server is the handler of the HTTP port: a tenant's /primus (and what begins
// like it) is ActionHero's protocol, /ws the same without its heartbeat strings.
// The http.Server around it bounds slow handshakes (ReadHeaderTimeout), and calls
// ConnState.
type Server struct {
	cfg      Config
	readers  readers
	arrivals chan arrival
	ended    chan struct{} // when Run takes no more arrivals
	wheel    wheel

	handshakes handshakes
}

// arrival is a connection after its handshake.
type arrival struct {
	*conn
	seat *engine.Seat
	info engine.Info
}

// New makes a server; Run starts it.
func New(cfg Config) *Server {
	cfg.PingInterval = cmp.Or(cfg.PingInterval, 30*time.Second)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 45*time.Second)
	cfg.MessageTimeout = cmp.Or(cfg.MessageTimeout, 10*time.Second)
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, 5*time.Second)
	if cfg.Fallback == nil {
		cfg.Fallback = http.NotFoundHandler()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{cfg: cfg, arrivals: make(chan arrival), ended: make(chan struct{})}
	s.wheel.patience = int((cfg.IdleTimeout + cfg.PingInterval - 1) / cfg.PingInterval)
	return s
}

// Run serves the connections until ctx ends; then it closes those that are left,
// waits until all have ended, and returns nil. It is called once. Connections
// that come before Run wait for it.
//
// http.Server.Shutdown knows nothing of these connections: end it first, then
// the engine, then ctx.
func (s *Server) Run(ctx context.Context) error {
	poller, err := stream.NewPoller(s.cfg.Reading)
	if err != nil {
		return err
	}
	defer s.cfg.Engine.WhileWriting(poller.Poll)()
	return poller.Run(ctx, func(ctx context.Context) {
		var open sync.WaitGroup
		s.serve(ctx, func(a arrival) {
			poller.Watch(a.Stream)
			open.Add(1)
			poller.Go(func() { a.open(ctx, a.seat, a.info, open.Done) })
		})
		for _, c := range s.wheel.stop() {
			c.peer.Close(engine.CloseShutdown)
		}
		open.Wait()
	})
}

// serve lets connections in, and has hearts beat, until ctx ends.
func (s *Server) serve(ctx context.Context, let func(arrival)) {
	defer close(s.ended)
	beat := time.NewTicker(max(1, s.cfg.PingInterval/slots))
	defer beat.Stop()
	for {
		select {
		case a := <-s.arrivals:
			let(a)
		case now := <-beat.C:
			s.wheel.beat(now)
		case <-ctx.Done():
			return
		}
	}
}

// ServeHTTP returns when the handshake is over.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tenant, path := s.cfg.Engine.Match(r.Host, r.URL.Path)
	primus := strings.HasPrefix(path, "/primus")
	switch {
	case !primus && path != "/ws":
		s.cfg.Fallback.ServeHTTP(w, r)
	case path == "/primus/spec":
		s.serveSpec(w)
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket", http.StatusUpgradeRequired)
	default:
		s.upgrade(w, r, tenant, primus)
	}
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, tenant string, primus bool) {
	info := s.infoOf(r)
	info.ActionHero = primus
	seat, err := s.cfg.Engine.Seat(engine.SeatRequest{Tenant: tenant, RemoteIP: info.RemoteIP})
	if err != nil {
		s.refuse(w, err)
		return
	}
	h := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &acceptOptions)
	if err != nil { // the client was told by Accept
		seat.Release()
		s.cfg.Log.Debug("websocket handshake failed", "remote", info.RemoteIP, "error", err)
		return
	}
	ws.CloseNow() // it has no socket, see hijacker
	c := &conn{Stream: h.stream, server: s, primus: primus}
	if !s.originAllowed(r) { // a browser shows its page no answer but a close frame
		s.cfg.Log.Debug("origin refused", "tenant", tenant, "remote", info.RemoteIP, "origin", r.Header.Get("Origin"))
		c.turnAway(engine.CloseOrigin)
		seat.Release()
		return
	}
	select {
	case s.arrivals <- arrival{c, seat, info}:
	case <-s.ended:
		seat.Release()
		c.turnAway(engine.CloseShutdown)
	}
}

// refuse tells a client before the upgrade why there is no place for it.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	if refusal, ok := err.(*engine.Refusal); ok && refusal.RetryAfter > 0 {
		status = http.StatusServiceUnavailable
		seconds := (refusal.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	http.Error(w, err.Error(), status)
}

func (s *Server) infoOf(r *http.Request) engine.Info {
	remote := s.remoteOf(r)
	info := engine.Info{
		Transport:   "websocket",
		Dialect:     wire.WebSocket,
		Fingerprint: fingerprintOf(r.URL.Query().Get("sessionID")),
		RemotePort:  int(remote.Port()),
		Locale:      localeOf(r.Header.Get("Accept-Language")),
		Token:       tokenOf(r),
	}
	if remote.Addr().IsValid() {
		info.RemoteIP = remote.Addr().String()
	}
	return info
}
