// Package node runs a server from a configuration. It opens the backend and the listeners, loads the
// rules, reloads them on request or when files change, and closes the clients at the end. It is the
// only package that knows the engine, the transports, the host and their settings.
//
// The code of the start is in node.go and listeners.go, of a reload in watch.go, reload.go, load.go
// and rules.go, and of the end in node.go and shutdown.go.
package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/listen"
	"github.com/mootchat/moot/engine/telemetry"
	"github.com/mootchat/moot/host"
)

// Config is the input of a node. The zero value runs config.yaml of the working directory.
type Config struct {
	File    string           // the configuration file; "": config.yaml
	Set     []string         // settings that override the file, each PATH=VALUE
	Version string           // version of the program, for the server API, metrics and traces
	Log     io.Writer        // receives the log; nil: os.Stderr
	Reload  <-chan os.Signal // each value makes the node reload its configuration; nil: no values
}

// ErrStopped is returned by Start if its context ends before the node serves clients.
var ErrStopped = errors.New("stopped before the server was ready")

// Addresses are the addresses of the listeners of a node, as HOST:PORT.
type Addresses struct {
	HTTP    string
	Sockets []string // in the order of config.Sockets
	Admin   string   // "" if admin.listen is ""
}

// Node is a running server: an engine and its listeners. Its methods may be called by any goroutine.
type Node struct {
	source   Config
	shutdown *shutdown
	serving  chan struct{} // closed when the node serves clients; addresses is set before
	ended    chan struct{} // closed when the node has ended; err is set before
	err      error

	addresses Addresses
	cfg       *config.Config // configuration of the start
	name      string
	log       *slog.Logger
	level     *slog.LevelVar
	redactor  *atomic.Pointer[strings.Replacer] // redactor of the log, for the configuration in use
	traces    *telemetry.Traces                 // nil: no traces are sent
	redis     *telemetry.RoundTrips
	rules     *host.Host
	keys      *auth.KeySets
	reloader  *reloader
	engine    *engine.Engine
	rings     []fanout.Ring // of engine
	events    *events.Dispatcher
	api       *api.Server
	listeners atomic.Pointer[listeners] // nil: the listeners are not open yet
	http      *http.Server
	madeKey   string      // of the admin, made because admin.key is not set; guarded by reloader.turn after the start
	stopping  atomic.Bool // readiness fails, but clients may still be served

	descriptors *listen.Descriptors
	pending     *listen.Pending
}

// Start starts a node and returns when it serves clients. The node runs until ctx ends; then it closes
// its clients over the configured drain time, and ends. An unusable configuration is a ConfigError.
// The error is ErrStopped if ctx ends before the node serves clients.
func Start(ctx context.Context, c Config) (*Node, error) {
	n := &Node{source: c, shutdown: newShutdown(), serving: make(chan struct{}), ended: make(chan struct{}),
		redactor: new(atomic.Pointer[strings.Replacer]), redis: new(telemetry.RoundTrips)}
	n.source.File = cmp.Or(c.File, "config.yaml")
	if c.Log == nil {
		n.source.Log = os.Stderr
	}
	go func() {
		defer close(n.ended)
		n.err = n.shutdown.bound(ctx, func() error {
			err := n.start(ctx)
			if ctx.Err() != nil && !n.shutdown.served() {
				return ErrStopped
			}
			return err
		})
	}()
	select {
	case <-n.serving:
	case <-n.ended:
	}
	select {
	case <-n.serving:
		return n, nil
	default:
		return nil, n.err
	}
}

// Wait waits until the node has ended. The error is nil if the context of Start ended the node and
// all its parts ended within the drain time and EndTime.
func (n *Node) Wait() error {
	<-n.ended
	return n.err
}

// Addresses returns the addresses of the listeners.
func (n *Node) Addresses() Addresses { return n.addresses }

// start reads the configuration, opens the log, the traces and the backend, and serves.
func (n *Node) start(ctx context.Context) error {
	read := n.shutdown.track("reading the configuration")
	loader := config.Loader{Cache: new(config.Cache)}
	cfg, err := n.source.read(ctx, &loader)
	if err == nil {
		err = redacted(cfg, checkTLS(ctx, cfg))
	}
	read()
	if err != nil {
		return err
	}
	n.cfg, n.name = cfg, nodeName(cfg.Cluster.Node)
	n.redactor.Store(cfg.LogRedactor())
	log, level := logger(cfg.Log, n.source.Log)
	n.log, n.level = slog.New(logHandler(log.Handler(), n.redactor)), level
	for _, warning := range cfg.Warnings {
		n.log.Warn("unsafe setting", "setting", warning.Path, "at", config.Pos{File: warning.File, Line: warning.Line}.String(), "warning", warning.Message)
	}
	if n.traces, err = openTraces(ctx, cfg, n.name, n.source.Version, n.log); err != nil {
		return redacted(cfg, err)
	}
	defer n.shutdown.track("traces")()
	defer closeTraces(ctx, n.traces, n.log)
	defer n.shutdown.track("cluster")()
	from := newSources(cfg.Cache, n.log)
	if n.traces != nil {
		from.asking = n.traces.Ask
	}
	b, err := n.openBackend(ctx, from.cache)
	if err != nil {
		return redacted(cfg, err)
	}
	return redacted(cfg, errors.Join(n.serve(ctx, &loader, b, from), b.close()))
}

// serve loads the rules, makes the engine and the server API, and runs them.
func (n *Node) serve(ctx context.Context, loader *config.Loader, b *backend, from *sources) error {
	cfg, log, sizes := n.cfg, n.log, &roomSizes{}
	n.keys = auth.NewKeySets(nil, log)
	defer n.shutdown.track("modules")()
	rules, loaded, err := loadRules(ctx, cfg, log, sizes, b.store, n.keys, from)
	if err != nil {
		return err
	}
	n.rules = rules
	loaded.logFaults(log)
	loaded.useAsks(from.asks)
	n.reloader = newReloader(ctx, n.source, loader, loaded, rules, n.keys, from, log, n.level)
	n.events = newDispatcher(b.events, log)
	useSinks(n.events, loaded.cfg, log)
	rules.Observe(decisionEvents{n.events})
	n.reloader.useSinks = func(cfg *config.Config) { useSinks(n.events, cfg, log) }
	closeRules := func() error {
		n.reloader.close()
		defer from.asks.Close()
		return rules.Close()
	}
	ec := engine.Config{Tenants: loaded.settings.Tenants, Limits: loaded.settings.Limits,
		Middleware: rules, Log: log, Cluster: b.cluster, Operator: n.operator, Moderation: b.sanctions, Review: b.review, Events: n.events, Grace: cfg.Sessions.Grace}
	if ec.Rings, err = openRings(cfg.HTTP.Writing, log); err != nil {
		return errors.Join(err, closeRules())
	}
	if n.traces != nil {
		ec.Middleware, ec.Tracer, ec.Cluster.Broker = n.traces.Middleware(rules), n.traces, n.traces.Broker(ec.Cluster.Broker)
	}
	n.rings = ec.Rings
	if n.engine, err = engine.New(ec); err != nil {
		return errors.Join(err, closeRings(ec.Rings), closeRules())
	}
	n.reloader.engine, n.reloader.redactor = n.engine, n.redactor
	n.api = n.newAPI(cmp.Or(b.operators, rules.Store()))
	n.reloader.useKeys = func(admin config.Admin) { n.api.SetKeys(n.apiKeys(admin)) }
	sizes.engine = n.engine
	log.Info("moot", "version", n.source.Version, "config", n.source.File, "revision", rules.Revision(), "node", ec.Cluster.Nodes.Self())
	if err := errors.Join(n.run(ctx), n.closeEvents(), closeRules()); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// roomSizes reports the number of members of a room to modules. The engine is made after the
// modules are loaded; until then there are no rooms.
type roomSizes struct{ engine *engine.Engine }

// Members implements host.Rooms.
func (r *roomSizes) Members(ctx context.Context, room cluster.RoomID) (int, error) {
	if r.engine == nil {
		return 0, cluster.ErrNoRoom
	}
	return r.engine.Members(ctx, room)
}

// afterDrain is the time that the last clients have to close, beyond the drain time. Together with
// one second of the admin port and one of the traces it is less than EndTime.
const afterDrain = 2 * time.Second

// run serves until ctx ends or a part of the node fails. Then it refuses new clients, closes the
// others over the drain time, and ends the parts.
func (n *Node) run(ctx context.Context) error {
	n.checkFiles()
	n.descriptors = listen.NewDescriptors(n.log)
	defer n.descriptors.Close()
	n.pending = &listen.Pending{Most: n.mostPending, Proxies: n.cfg.Proxies()}
	open, err := n.listen(ctx)
	if err != nil {
		return errors.Join(err, closeRings(n.rings)) // the engine, which closes them at its end, does not run
	}
	n.listeners.Store(open)
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts, failed := errgroup.WithContext(living)
	n.part(parts, "engine", func() error { return n.engine.Run(failed) })
	n.part(parts, "key sets", func() error { return n.keys.Run(failed) })
	n.part(parts, "events", func() error { n.events.Run(failed); return nil })
	n.serveAdmin(failed, parts, open.admin)
	select {
	case <-n.engine.Ready():
	case <-failed.Done():
		n.shutdown.begin()
		return errors.Join(parts.Wait(), open.close())
	case <-ctx.Done(): // the engine still waits for Redis, or for the lease of another node with the same name
		end()
		return errors.Join(parts.Wait(), open.close(), ctx.Err())
	}
	n.shutdown.serving(func() time.Duration { c := n.reloader.current.Load(); return c.DrainDelay + c.Drain })
	n.keys.Permit(n.cfg.Limits.Networks())
	n.keys.Use(failed, keySetsOf(n.reloader.current.Load()))
	n.serveWeb(failed, parts, open.web)
	n.serveSockets(failed, parts, open.sockets)
	n.part(parts, "reload", func() error { return n.reloader.run(failed, n.source.Reload) })
	n.addresses = open.addresses()
	close(n.serving)
	n.part(parts, "memory", func() error {
		debug.FreeOSMemory() // the start has left as much garbage as the node needs memory
		n.log.Debug("gave back the memory of the start")
		return nil
	})

	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	n.shutdown.begin()
	over := n.failReadiness(failed)
	drained := n.shutdown.track("clients")
	err = n.drain(living, open, over)
	drained()
	end()
	return errors.Join(parts.Wait(), err)
}

// part runs f as a part of the node. If a shutdown takes too long, its error has the name of the
// part.
func (n *Node) part(parts *errgroup.Group, name string, f func() error) {
	done := n.shutdown.track(name)
	parts.Go(func() error {
		defer done()
		return f()
	})
}

// failReadiness makes readiness fail and serves for drainDelay, or until ctx ends, because load
// balancers send clients here until they notice. It returns the drain time. A reload in the meantime
// does not change this time, because the time of the shutdown is already running.
func (n *Node) failReadiness(ctx context.Context) (drain time.Duration) {
	n.stopping.Store(true)
	cfg := n.reloader.current.Load()
	n.log.Info("shutting down", "drainDelay", cfg.DrainDelay, "drain", cfg.Drain)
	select {
	case <-time.After(cfg.DrainDelay):
	case <-ctx.Done():
	}
	return cfg.Drain
}

// notStopping is the readiness check that fails from the start of a shutdown.
func (n *Node) notStopping(context.Context) error {
	if n.stopping.Load() {
		return errors.New("the node is shutting down")
	}
	return nil
}

// drain closes the clients over a time. Readiness fails before a listener is closed, and running
// handshakes delay no client. Handshakes that last longer are cut off.
func (n *Node) drain(ctx context.Context, open *listeners, over time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, over+afterDrain)
	defer cancel()
	n.engine.Refuse()
	handshakes := make(chan error, 1)
	go func() {
		if err := n.http.Shutdown(ctx); err == nil || ctx.Err() == nil {
			handshakes <- err
			return
		}
		handshakes <- n.http.Close() // also of clients that have connected and sent nothing
	}()
	return errors.Join(open.closeSockets(), n.engine.Shutdown(ctx, over), <-handshakes)
}

// nodeName returns the configured name, or a name made of the host's name and random characters, so
// that two nodes of one host have different names.
func nodeName(configured string) string {
	if configured != "" {
		return configured
	}
	name, err := os.Hostname()
	if err != nil {
		name = "node"
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	name = strings.Trim(name[:min(len(name), 48)], "-")
	return cmp.Or(name, "node") + "-" + strings.ToLower(rand.Text()[:6])
}
