// Package tcp is the socket transport: requests come in as lines of text and are
// carried out by the engine; answers and messages go out as lines of JSON,
// through the connection's outbox.
//
// A connection that is silent costs its socket and its place in the engine: on
// Linux no goroutine, elsewhere and with TLS a small one. Whether the client is
// still there is for TCP to find out (keepalive, which Go's listeners turn on):
// the protocol has no heartbeat, and someone at a terminal may well be silent.
package tcp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// Server serves the socket transport. Only Engine is needed.
type Server struct {
	Engine *engine.Engine

	// Tenant is that of the clients; "": default. A TLS client that names the
	// host of another tenant belongs to that one.
	Tenant string

	// Delimiter ends a line of a client; "": \n, \r\n or \r. Lines to clients end
	// with \r\n always.
	Delimiter string

	// HandshakeTimeout is how long TLS may take to begin; 0: 10 s.
	HandshakeTimeout time.Duration

	// LineTimeout is how long a line of a client may take that is longer than 4
	// KiB; 0: 10 s. What a person types may take as long as it likes.
	LineTimeout time.Duration

	// Reading is how silent clients are waited for. The zero value is best; with
	// TLS and outside Linux it makes no difference.
	Reading stream.Reading

	Log *slog.Logger // nil: slog.Default()

	chunks sync.Pool // of *chunk
}

// Serve accepts clients, with TLS if l does, until l is closed or ctx ends, and
// waits until all their connections have ended. When ctx ends it closes l and
// the connections that are left. It returns nil then, and what was wrong with l
// otherwise.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	poller, err := stream.NewPoller(s.Reading)
	if err != nil {
		return err
	}
	defer s.Engine.WhileWriting(poller.Poll)()
	var failed error
	err = poller.Run(ctx, func(ctx context.Context) { failed = s.serve(ctx, l, poller) })
	return cmp.Or(failed, err)
}

// serve returns when l has no more clients to give and all have ended.
func (s *Server) serve(ctx context.Context, l net.Listener, poller *stream.Poller) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	defer l.Close()
	for {
		socket, err := s.accept(ctx, l)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		open.Add(1)
		poller.Go(func() { s.open(ctx, socket, poller, open.Done) })
	}
}

// accept waits where the system has no more sockets to give for a moment.
func (s *Server) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Accept()
		// Deprecated for its vagueness, and yet what net/http goes by.
		if e, ok := err.(interface{ Temporary() bool }); !ok || !e.Temporary() {
			return c, err
		}
		s.log().Error("accept failed, trying again", "listener", l.Addr(), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// open lets a client in; over is called when its socket has ended.
func (s *Server) open(ctx context.Context, socket net.Conn, poller *stream.Poller, over func()) {
	tenant, err := s.handshake(ctx, socket)
	if err != nil {
		socket.Close()
		s.log().Debug("TLS handshake failed", "remote", socket.RemoteAddr(), "error", err)
		over()
		return
	}
	c := &conn{Stream: stream.New(socket, nil), server: s}
	poller.Watch(c.Stream)
	info := infoOf(socket)
	seat, err := s.Engine.Seat(engine.SeatRequest{Tenant: tenant, RemoteIP: info.RemoteIP})
	if err != nil {
		c.turnAway(refusal(err))
		over()
		return
	}
	if c.peer, err = seat.Open(ctx, info, c); err != nil {
		var why engine.Close
		errors.As(err, &why)
		c.turnAway(c.Farewell(why))
		over()
		return
	}
	c.lines = wire.Lines{Delimiter: s.Delimiter}
	c.live(ctx, over)
}

// handshake finds the client's tenant, after the handshake of TLS if there is
// one.
func (s *Server) handshake(ctx context.Context, socket net.Conn) (tenant string, err error) {
	tenant = s.Tenant
	if tenant == "" {
		tenant = engine.DefaultTenant
	}
	secure, ok := socket.(*tls.Conn)
	if !ok {
		return tenant, nil
	}
	timeout := s.HandshakeTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return "", err
	}
	if name := secure.ConnectionState().ServerName; name != "" {
		if named, _ := s.Engine.Match(name, ""); named != engine.DefaultTenant {
			tenant = named
		}
	}
	return tenant, nil
}

func infoOf(socket net.Conn) engine.Info {
	info := engine.Info{Transport: "socket", Dialect: wire.Socket, TokenFollows: true}
	if remote, err := netip.ParseAddrPort(socket.RemoteAddr().String()); err == nil {
		info.RemoteIP = remote.Addr().Unmap().String()
		info.RemotePort = int(remote.Port())
	}
	return info
}
