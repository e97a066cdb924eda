package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/tcp"
	"github.com/mootchat/moot/engine/ws"
)

// Bounds for HTTP clients, besides http.handshakeTimeout.
const (
	headerBytes = 8 << 10

	// Of requests other than handshakes, such as requests for the demo page.
	requestTimeout  = 10 * time.Second // header and body
	responseTimeout = 30 * time.Second
	idleTimeout     = time.Minute // between requests
)

// reading returns the reading mode of a value of http.reading or socket.reading.
func reading(value string) stream.Reading {
	if value == "goroutines" {
		return stream.Goroutines
	}
	return stream.Polled
}

// serveWeb starts the WebSocket transport. The transport ends with ctx.
func (n *Node) serveWeb(ctx context.Context, parts *errgroup.Group, web net.Listener) {
	sockets := ws.New(ws.Config{Engine: n.engine, AllowedOrigins: n.cfg.HTTP.AllowedOrigins, TrustedProxies: n.cfg.Proxies(),
		Reading: reading(n.cfg.HTTP.Reading), Pending: n.pending, HandshakeTimeout: n.cfg.HTTP.HandshakeTimeout, Fallback: n.demo(), Log: n.log})
	n.http = &http.Server{Handler: sockets, ReadHeaderTimeout: n.cfg.HTTP.HandshakeTimeout, ConnState: sockets.ConnState, MaxHeaderBytes: headerBytes,
		ReadTimeout: max(requestTimeout, n.cfg.HTTP.HandshakeTimeout), WriteTimeout: responseTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	n.part(parts, "websocket", func() error { return sockets.Run(ctx) })
	n.part(parts, "http", func() error {
		if err := n.http.Serve(sockets.Listen(web)); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	n.log.Info("serving", "http", web.Addr().String())
}

// serveSockets starts the TCP transport on each of its listeners. The transport ends with ctx.
func (n *Node) serveSockets(ctx context.Context, parts *errgroup.Group, sockets []net.Listener) {
	for i, cfg := range n.cfg.Sockets() {
		lines := &tcp.Server{Engine: n.engine, Tenant: cfg.Tenant, Delimiter: cfg.Delimiter, Reading: reading(cfg.Reading), Pending: n.pending, Log: n.log}
		if lines.Delimiter == "\n" {
			lines.Delimiter = "" // lines may also end with "\r\n"
		}
		n.part(parts, "socket", func() error { return lines.Serve(ctx, sockets[i]) })
		n.log.Info("serving", "socket", sockets[i].Addr().String(), "tenant", cfg.Tenant)
	}
}
