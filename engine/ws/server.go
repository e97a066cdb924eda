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
// [reader] serves one connection after another. Connections through [Server.Listen] reach
// net/http only if they do not begin with an ordinary handshake; the goroutine of net/http,
// with its request and buffers, ends with the handshake.
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
	// "https://host[:port]", "host[:port]", or "*" for any. None: pages from the host that the
	// request names. Clients that are not browsers may always connect.
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
	cfg        Config
	readers    readers
	heads      sync.Pool // of *head
	wheel      wheel
	handshakes handshakes

	started chan struct{} // closed by Run when poller and run are set
	poller  *stream.Poller
	run     func(task)

	mu    sync.Mutex
	ended bool           // no more connections begin
	open  sync.WaitGroup // connections, those that have not sent a request included
}

// task handles a connection in the context of Run, and calls done when the connection has
// ended.
type task func(ctx context.Context, done func())

// arrival is a client after its handshake.
type arrival struct {
	*conn
	tenant  string
	refused string // the origin, if it is not allowed
	info    engine.Info
	seat    *engine.Reservation
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
	s := &Server{cfg: cfg, started: make(chan struct{})}
	s.heads.New = newHead
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
		s.poller = poller
		s.run = func(t task) { poller.Go(func() { t(ctx, s.open.Done) }) }
		close(s.started)
		s.beat(ctx)
		s.end()
		s.handshakes.close()
		for _, c := range s.wheel.stop() {
			c.peer.Close(engine.CloseShutdown)
		}
		s.open.Wait()
	})
}

// start runs t on another goroutine, and waits for Run before. It returns false if Run ends.
func (s *Server) start(t task) bool {
	<-s.started
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.open.Add(1)
	}
	s.mu.Unlock()
	if !ended {
		s.run(t)
	}
	return !ended
}

// end makes start return false.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// beat sends heartbeats until ctx ends.
func (s *Server) beat(ctx context.Context) {
	heartbeat := time.NewTicker(max(1, s.cfg.PingInterval/slots))
	defer heartbeat.Stop()
	for {
		select {
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
	switch {
	case !isWebSocket(path):
		s.cfg.Fallback.ServeHTTP(w, r)
	case path == primusSpec:
		s.serveSpec(w)
	default:
		s.upgrade(w, r, tenant, path)
	}
}

func isWebSocket(path string) bool { return path == "/ws" || isPrimus(path) }

func isPrimus(path string) bool { return strings.HasPrefix(path, "/primus") }

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, tenant, path string) {
	key, wrong := keyOf(r)
	if wrong != nil {
		wrong.write(w)
		return
	}
	a := s.arrival(r, tenant, path, key)
	if err := a.reserve(); err != nil {
		status, retryAfter := statusOf(err)
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, err.Error(), status)
		return
	}
	c, ahead, err := hijack(w)
	if err != nil {
		a.seat.Release()
		s.cfg.Log.Debug("client left during its WebSocket handshake", "remote", a.info.RemoteIP, "error", err)
		return
	}
	a.Stream = stream.New(c, ahead)
	if !s.start(a.enter) {
		a.seat.Release()
		a.refuse(engine.CloseShutdown)
	}
}

// arrival describes the client of a handshake. It has no socket and no reservation yet.
func (s *Server) arrival(r *http.Request, tenant, path, key string) *arrival {
	a := &arrival{conn: &conn{server: s, primus: isPrimus(path), answer: appendAccepted(make([]byte, 0, 192), key)}, tenant: tenant, info: s.infoOf(r)}
	a.info.ActionHero, a.info.First = a.primus, a.answer
	if !s.originAllowed(r) {
		a.refused = r.Header.Get("Origin")
	}
	return a
}

func (a *arrival) reserve() (err error) {
	a.seat, err = a.server.cfg.Engine.Reserve(engine.ReservationRequest{Tenant: a.tenant, RemoteIP: a.info.RemoteIP})
	return err
}

// enter adds the connection to the engine and serves it. It is a task.
func (a *arrival) enter(ctx context.Context, done func()) {
	if a.refused != "" { // a web page sees close frames, but no HTTP errors
		a.server.cfg.Log.Debug("origin refused", "tenant", a.tenant, "remote", a.info.RemoteIP, "origin", a.refused)
		a.refuse(engine.CloseOrigin)
		a.seat.Release()
		done()
		return
	}
	a.server.poller.Watch(a.Stream)
	a.open(ctx, a.seat, a.info, done)
}

// statusOf returns the HTTP status of a refusal by the engine, and the value of Retry-After.
func statusOf(err error) (status int, retryAfter string) {
	if refusal, ok := err.(*engine.Refusal); ok && refusal.RetryAfter > 0 {
		seconds := (refusal.RetryAfter + time.Second - 1) / time.Second
		return http.StatusServiceUnavailable, strconv.Itoa(int(seconds))
	}
	return http.StatusForbidden, ""
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
