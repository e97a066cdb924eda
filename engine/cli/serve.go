package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/listen"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/tcp"
	"github.com/mootchat/moot/engine/telemetry"
	"github.com/mootchat/moot/engine/ws"
	"github.com/mootchat/moot/host"
)

type serveCommand struct {
	configFlags
}

// Run serves until ctx ends, and then lets the clients go.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	e := newEnding()
	return e.run(ctx, func() error {
		err := c.start(ctx, t, e, hup)
		if ctx.Err() != nil && !e.served() {
			_, err = fmt.Fprintln(t.err, "moot: stopped before it served")
		}
		return err
	})
}

// start reads the configuration, opens what the server stands on, and serves.
func (c *serveCommand) start(ctx context.Context, t terminal, e *ending, hup <-chan os.Signal) error {
	read := e.doingNow("reading the configuration")
	cfg, trace, err := c.load(ctx)
	if err == nil {
		err = redacted(cfg, checkTLS(ctx, cfg))
	}
	read()
	if err != nil {
		return err
	}
	log, level := logger(cfg.Log, t.err)
	texts := new(atomic.Pointer[strings.Replacer])
	texts.Store(cfg.Hider())
	log = slog.New(hidden{log.Handler(), texts})
	for _, warning := range cfg.Warnings {
		log.Warn("unsafe setting", "setting", warning.Path, "at", config.Pos{File: warning.File, Line: warning.Line}.String(), "warning", warning.Message)
	}
	n := &node{cfg: cfg, log: log, hup: hup, name: nodeName(cfg.Cluster.Node), ending: e, texts: texts, trips: new(telemetry.RoundTrips)}
	if n.traces, err = openTraces(ctx, cfg, n.name, log); err != nil {
		return redacted(cfg, err)
	}
	defer e.doingNow("traces")()
	defer closeTraces(ctx, n.traces, log)
	defer e.doingNow("cluster")()
	common, err := openCluster(ctx, n)
	if err != nil {
		return redacted(cfg, err)
	}
	return redacted(cfg, errors.Join(c.serve(ctx, t, n, trace, level, common), common.close()))
}

// serve serves as a node of the cluster.
func (c *serveCommand) serve(ctx context.Context, t terminal, n *node, trace config.Trace, level *slog.LevelVar, common *ground) error {
	cfg, log, sizes := n.cfg, n.log, &roomSizes{}
	n.keys = auth.NewKeySets(nil, log)
	from := newSources(cfg.Cache, log)
	defer n.ending.doingNow("modules")()
	rules, loaded, err := loadRules(ctx, cfg, log, sizes, common.store, n.keys, from)
	if err != nil {
		return err
	}
	n.rules = rules
	n.reloader = newReloader(ctx, c.configFlags, trace, loaded, rules, n.keys, from, log, level)
	closeRules := func() error { n.reloader.close(); return rules.Close() }
	ec := engine.Config{Tenants: loaded.settings.Tenants, Limits: loaded.settings.Limits,
		Middleware: rules, Log: log, Cluster: common.cluster, Operator: n.operator, Grace: cfg.Sessions.Grace}
	if n.traces != nil {
		ec.Middleware, ec.Tracer, ec.Cluster.Broker = n.traces.Middleware(rules), n.traces, n.traces.Broker(ec.Cluster.Broker)
	}
	if n.engine, err = engine.New(ec); err != nil {
		return errors.Join(err, closeRules())
	}
	n.reloader.engine, n.reloader.texts = n.engine, n.texts
	n.api = n.newAPI(t.err, cmp.Or(common.ofAPI, rules.Store()))
	sizes.engine = n.engine
	log.Info("moot", "version", version(), "config", c.Config, "revision", rules.Revision(), "node", ec.Cluster.Nodes.Self())
	if err := errors.Join(n.run(ctx), closeRules()); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// roomSizes tells modules how many members a room has. The engine that knows is
// made after the modules are loaded: until then there are no rooms.
type roomSizes struct{ engine *engine.Engine }

// Members implements host.Rooms.
func (r *roomSizes) Members(ctx context.Context, room engine.RoomID) (int, error) {
	if r.engine == nil {
		return 0, engine.ErrNoRoom
	}
	return r.engine.Members(ctx, room)
}

// node is a running server: an engine and its listeners.
type node struct {
	cfg      *config.Config
	name     string
	traces   *telemetry.Traces // nil: there are none
	log      *slog.Logger
	rules    *host.Host
	keys     *auth.KeySets
	reloader *reloader
	ending   *ending
	texts    *atomic.Pointer[strings.Replacer] // what the log does not show
	hup      <-chan os.Signal                  // asks for a reload
	engine   *engine.Engine
	api      *api.Server
	doors    atomic.Pointer[doors] // nil: none is open yet
	trips    *telemetry.RoundTrips // to Redis
	http     *http.Server
	retiring atomic.Bool // the node is to end: it is not ready, whether or not it still serves

	descriptors *listen.Descriptors
}

// afterDrain is how long, beyond the time to let clients go, the last of them may take.
// With the second of the admin port and that of the traces it is less than lastTime.
const afterDrain = 2 * time.Second

// run serves until ctx ends or a part of the node fails: then nobody is let in
// any more, the clients are let go over the drain time, and the rest ends.
func (n *node) run(ctx context.Context) error {
	n.checkFiles()
	n.descriptors = listen.NewDescriptors(n.log)
	defer n.descriptors.Close()
	doors, err := n.listen(ctx)
	if err != nil {
		return err
	}
	n.doors.Store(&doors)
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts, failed := errgroup.WithContext(living)
	n.part(parts, "engine", func() error { return n.engine.Run(failed) })
	n.part(parts, "key sets", func() error { return n.keys.Run(failed) })
	n.serveAdmin(failed, parts, doors.admin)
	select {
	case <-n.engine.Ready():
	case <-failed.Done():
		n.ending.begin()
		return errors.Join(parts.Wait(), doors.close())
	case <-ctx.Done(): // the engine waits for Redis, or for the lease of a node of its name
		end()
		return errors.Join(parts.Wait(), doors.close(), ctx.Err())
	}
	n.ending.serving(func() time.Duration { c := n.reloader.current.Load(); return c.DrainDelay + c.Drain })
	n.keys.Permit(n.cfg.Limits.Networks())
	n.keys.Use(failed, keySetsOf(n.cfg))
	n.serveWeb(failed, parts, doors.web)
	n.serveSockets(failed, parts, doors.sockets)
	n.part(parts, "reload", func() error { return n.reloader.run(failed, n.hup) })

	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	n.ending.begin()
	over := n.retire(failed)
	err = n.ending.do("clients", func() error { return n.drain(living, doors, over) })
	end()
	return errors.Join(parts.Wait(), err)
}

// part runs f as a part of the node, by a name.
func (n *node) part(parts *errgroup.Group, name string, f func() error) {
	done := n.ending.doingNow(name)
	parts.Go(func() error {
		defer done()
		return f()
	})
}

// Bounds of what HTTP clients may take, besides http.handshakeTimeout.
const (
	headerBytes = 8 << 10

	// Of requests that are no handshake, such as those for the demo's page.
	requestTimeout  = 10 * time.Second // its body too
	responseTimeout = 30 * time.Second
	idleTimeout     = time.Minute // until the next one
)

// reading is what a value of http.reading or socket.reading means.
func reading(value string) stream.Reading {
	if value == "goroutines" {
		return stream.Goroutines
	}
	return stream.Polled
}

// serveWeb starts the WebSocket transport: it ends with ctx.
func (n *node) serveWeb(ctx context.Context, parts *errgroup.Group, web net.Listener) {
	sockets := ws.New(ws.Config{Engine: n.engine, AllowedOrigins: n.cfg.HTTP.AllowedOrigins, TrustedProxies: n.cfg.Proxies(),
		Reading: reading(n.cfg.HTTP.Reading), HandshakeTimeout: n.cfg.HTTP.HandshakeTimeout, Fallback: n.demo(), Log: n.log})
	n.http = &http.Server{Handler: sockets, ReadHeaderTimeout: n.cfg.HTTP.HandshakeTimeout, ConnState: sockets.ConnState, MaxHeaderBytes: headerBytes,
		ReadTimeout: max(requestTimeout, n.cfg.HTTP.HandshakeTimeout), WriteTimeout: responseTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	n.part(parts, "websocket", func() error { return sockets.Run(ctx) })
	n.part(parts, "http", func() error {
		if err := n.http.Serve(web); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	n.log.Info("serving", "http", web.Addr().String())
}

// serveSockets starts the TCP transport on each of its listeners: it ends with ctx.
func (n *node) serveSockets(ctx context.Context, parts *errgroup.Group, sockets []net.Listener) {
	for i, cfg := range n.cfg.Sockets() {
		lines := &tcp.Server{Engine: n.engine, Tenant: cfg.Tenant, Delimiter: cfg.Delimiter, Reading: reading(cfg.Reading), Log: n.log}
		if lines.Delimiter == "\n" {
			lines.Delimiter = "" // every end of a line
		}
		n.part(parts, "socket", func() error { return lines.Serve(ctx, sockets[i]) })
		n.log.Info("serving", "socket", sockets[i].Addr().String(), "tenant", cfg.Tenant)
	}
}

// retire fails readiness, and serves on for drainDelay: load balancers that ask for
// readiness, or are told of the end by others, send clients here until they have
// noticed. It returns earlier when ctx ends. over is how long clients are let go: a
// reload meanwhile changes nothing of it, for the time to end runs already.
func (n *node) retire(ctx context.Context) (over time.Duration) {
	n.retiring.Store(true)
	cfg := n.reloader.current.Load()
	n.log.Info("shutting down", "drainDelay", cfg.DrainDelay, "drain", cfg.Drain)
	select {
	case <-time.After(cfg.DrainDelay):
	case <-ctx.Done():
	}
	return cfg.Drain
}

// staying is the readiness check of a node that is not asked to end.
func (n *node) staying(context.Context) error {
	if n.retiring.Load() {
		return errors.New("the node is shutting down")
	}
	return nil
}

// drain lets the clients go over a while. The node is not ready any more before a listener is
// closed, and handshakes that are under way hold nobody up.
func (n *node) drain(ctx context.Context, d doors, over time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, over+afterDrain)
	defer cancel()
	n.engine.Refuse()
	handshakes := make(chan error, 1)
	go func() { handshakes <- n.http.Shutdown(ctx) }()
	return errors.Join(d.closeSockets(), n.engine.Shutdown(ctx, over), <-handshakes)
}
