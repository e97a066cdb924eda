// Package ws is the WebSocket transport: the engine runs the requests in text frames, and
// writes answers and messages through the connection's outbox.
//
// The package answers handshakes itself, and reads the frames (see frames). It refuses a
// length over the limit at the header and invalid text at its first bad byte; a silent
// connection keeps no buffer. Package wire makes each outgoing frame once for all
// receivers.
//
// A silent connection needs only its socket and its state in the engine. On Linux it
// has no goroutine; on other systems, and with TLS, it has one with a small stack. A
// [reader] serves one connection after another. The goroutine of net/http, with its
// request and buffers, ends with the handshake.
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

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/listen"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// Config configures a Server. Only Engine is required.
type Config struct {
	Engine *engine.Engine

	// AllowedOrigins are the origins of the web pages that may connect:
	// "https://host[:port]", "host[:port]", or "*" for any. Pages from the server's own
	// host, and clients that are not browsers, may always connect.
	AllowedOrigins []string

	// TrustedProxies are the networks whose header X-Forwarded-For is used.
	TrustedProxies []netip.Prefix

	// PingInterval is the time between two heartbeats of a connection; 0: 30 s. The
	// clients of ActionHero need one every 45 s.
	PingInterval time.Duration

	// IdleTimeout is the maximum time without any bytes from a client; clients answer
	// each heartbeat. 0: 45 s. It is rounded up to a multiple of PingInterval.
	IdleTimeout time.Duration

	// MessageTimeout is the maximum time from the first byte of a message to its last;
	// 0: 10 s. It does not include the time of the request itself.
	MessageTimeout time.Duration

	// HandshakeTimeout is the time after which ConnState counts a closed connection
	// without a request as a slow handshake; 0: 5 s. Set ReadHeaderTimeout of the
	// http.Server, which closes the connection, to the same time.
	HandshakeTimeout time.Duration

	// Pending bounds the connections that are no clients yet, or only request pages. nil: they
	// have no bound. http.Server must call ConnState.
	Pending *listen.Pending

	// Reading selects how the server waits for silent clients. It matters only without
	// TLS on Linux, where the zero value needs the least memory.
	Reading stream.Reading

	Fallback http.Handler // for requests to other paths; nil: 404
	Log      *slog.Logger // nil: slog.Default()
}

// Server is an http.Handler. Paths that begin with /primus use ActionHero's protocol.
// The path /ws uses the same protocol without the strings of Primus. The http.Server
// needs ReadHeaderTimeout, against slow handshakes, and must call ConnState.
type Server struct {
	cfg      Config
	readers  readers
	arrivals chan arrival
	ended    chan struct{} // closed when Run takes no more arrivals
	wheel    wheel

	handshakes handshakes
}

// arrival is a connection after its handshake.
type arrival struct {
	*conn
	seat *engine.Reservation
	info engine.Info
}

// New makes a server. Run starts to serve its connections.
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
	s.wheel.maxUnanswered = int((cfg.IdleTimeout + cfg.PingInterval - 1) / cfg.PingInterval)
	return s
}

// Run serves the connections until ctx ends. Then it closes the open connections, waits
// until all have ended, and returns nil. Call Run once. Connections that clients make
// before Run wait for it.
//
// http.Server.Shutdown does not wait for these connections. At shutdown, end the
// http.Server first, then the engine, and then ctx.
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

// serve passes arrivals to open and sends heartbeats until ctx ends.
func (s *Server) serve(ctx context.Context, open func(arrival)) {
	defer close(s.ended)
	heartbeat := time.NewTicker(max(1, s.cfg.PingInterval/slots))
	defer heartbeat.Stop()
	for {
		select {
		case a := <-s.arrivals:
			open(a)
		case now := <-heartbeat.C:
			s.wheel.beat(now)
		case <-ctx.Done():
			return
		}
	}
}

// ServeHTTP implements http.Handler. It returns after the handshake.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tenant, path := s.cfg.Engine.Match(r.Host, r.URL.Path)
	primus := strings.HasPrefix(path, "/primus")
	switch {
	case !primus && path != "/ws":
		s.cfg.Fallback.ServeHTTP(w, r)
	case path == "/primus/spec":
		s.serveSpec(w)
	default:
		s.upgrade(w, r, tenant, primus)
	}
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, tenant string, primus bool) {
	key, status, err := checkHandshake(w.Header(), r)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	info := s.infoOf(r)
	info.ActionHero = primus
	seat, err := s.cfg.Engine.Reserve(engine.ReservationRequest{Tenant: tenant, RemoteIP: info.RemoteIP})
	if err != nil {
		s.refuse(w, err)
		return
	}
	socket, err := accept(w, key)
	if err != nil {
		seat.Release()
		s.cfg.Log.Debug("client left during its WebSocket handshake", "remote", info.RemoteIP, "error", err)
		return
	}
	c := &conn{Stream: socket, server: s, primus: primus}
	if !s.originAllowed(r) { // a web page sees close frames, but no HTTP errors
		s.cfg.Log.Debug("origin refused", "tenant", tenant, "remote", info.RemoteIP, "origin", r.Header.Get("Origin"))
		c.refuse(engine.CloseOrigin)
		seat.Release()
		return
	}
	select {
	case s.arrivals <- arrival{c, seat, info}:
	case <-s.ended:
		seat.Release()
		c.refuse(engine.CloseShutdown)
	}
}

// refuse answers a handshake that the engine has refused.
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
