package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/demo"
	"github.com/mootchat/moot/engine/tcp"
	"github.com/mootchat/moot/engine/ws"
)

type serveCommand struct {
	configFlags
}

// Run serves until ctx ends, and then lets the clients go.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	log := logger(cfg.Log, t.err)
	sizes := &roomSizes{}
	rules, err := loadRules(ctx, cfg, log, sizes)
	if err != nil {
		return err
	}
	n := &node{cfg: cfg, log: log}
	ec := engineConfig(cfg)
	ec.Middleware, ec.Log = rules, log
	ec.Cluster = memory.New().Node(nodeName(cfg.Cluster.Node))
	if n.engine, err = engine.New(ec); err != nil {
		return errors.Join(err, rules.Close())
	}
	sizes.engine = n.engine
	log.Info("moot", "version", version(), "config", c.Config, "revision", rules.Revision(), "node", ec.Cluster.Nodes.Self())
	return errors.Join(n.run(ctx), rules.Close())
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
	cfg    *config.Config
	log    *slog.Logger
	engine *engine.Engine
	http   *http.Server
	ws     *ws.Server
	tcp    *tcp.Server
	failed chan error
}

// afterDrain is how long, beyond the time to let clients go, the rest may take.
const afterDrain = 10 * time.Second

// run serves until ctx ends: listeners close first, then clients are let go over
// the drain time, then the engine ends.
func (n *node) run(ctx context.Context) error {
	web, socket, err := n.listen()
	if err != nil {
		return err
	}
	n.failed = make(chan error, 3)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { n.failed <- n.engine.Run(running) })
	select {
	case <-n.engine.Ready():
	case err := <-n.failed:
		return errors.Join(err, web.Close(), closeListener(socket))
	}
	n.serve(running, &wg, web, socket)

	select {
	case <-ctx.Done():
		n.log.Info("shutting down", "drain", n.cfg.Drain)
	case err = <-n.failed:
	}
	return errors.Join(err, n.drain(running))
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// listen opens the listeners, both or none.
func (n *node) listen() (web, socket net.Listener, err error) {
	if web, err = net.Listen("tcp", n.cfg.HTTP.Listen); err != nil {
		return nil, nil, fmt.Errorf("http.listen: %w", err)
	}
	if n.cfg.Socket.Listen == "" {
		return web, nil, nil
	}
	if socket, err = net.Listen("tcp", n.cfg.Socket.Listen); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("socket.listen: %w", err), web.Close())
	}
	return web, socket, nil
}

// Bounds of what a client may take for its handshake.
const (
	headerTimeout = 5 * time.Second
	headerBytes   = 8 << 10
)

func (n *node) serve(ctx context.Context, wg *sync.WaitGroup, web, socket net.Listener) {
	n.ws = ws.New(n.engine, ws.Config{AllowedOrigins: n.cfg.HTTP.AllowedOrigins, Log: n.log})
	mux := http.NewServeMux()
	mux.Handle("/", n.ws.Or(demo.Handler()))
	n.http = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	wg.Go(func() {
		if err := n.http.Serve(web); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- err
		}
	})
	n.log.Info("serving", "http", web.Addr().String())
	if socket == nil {
		return
	}
	n.tcp = tcp.New(n.engine, tcp.Config{Tenant: n.cfg.Socket.Tenant, Delimiter: n.cfg.Socket.Delimiter, Log: n.log})
	wg.Go(func() {
		if err := n.tcp.Serve(ctx, socket); err != nil {
			n.failed <- err
		}
	})
	n.log.Info("serving", "socket", socket.Addr().String())
}

// drain lets nobody in any more and lets the clients go.
func (n *node) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Drain+afterDrain)
	defer cancel()
	var errs []error
	errs = append(errs, n.http.Shutdown(ctx))
	errs = append(errs, n.engine.Shutdown(ctx, n.cfg.Drain))
	return errors.Join(errs...)
}
