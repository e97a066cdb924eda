// Package tcp is the socket transport: the engine runs requests, which are lines of text,
// and writes answers and messages as lines of JSON through the connection's outbox.
//
// A silent connection needs only its socket and its state in the engine. On Linux it
// has no goroutine; on other systems, and with TLS, it has one with a small stack. The
// protocol has no heartbeat, because a person at a terminal may be silent. TCP
// keepalive, which Go's listeners turn on, detects lost clients.
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
	"github.com/mootchat/moot/engine/listen"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// Server serves the socket transport. Only Engine is required.
type Server struct {
	Engine *engine.Engine

	// Tenant is the tenant of the clients; "" is the default tenant. A TLS client that
	// requests the host of another tenant belongs to that tenant.
	Tenant string

	// Delimiter ends the lines of clients; "" is \n, \r\n or \r. Lines to clients always
	// end with \r\n.
	Delimiter string

	// HandshakeTimeout bounds the TLS handshake; 0: 10 s.
	HandshakeTimeout time.Duration

	// LineTimeout is the time limit for a line of a client after its first 4 KiB;
	// 0: 10 s. Shorter lines, such as those that a person types, have no limit.
	LineTimeout time.Duration

	// Pending bounds the connections that are no clients yet. nil: they have no bound.
	Pending *listen.Pending

	// Reading selects how the server waits for silent clients. It matters only without
	// TLS on Linux, where the zero value needs the least memory.
	Reading stream.Reading

	Log *slog.Logger // nil: slog.Default()

	chunks sync.Pool // of *chunk
}

// Serve accepts clients until l is closed or ctx ends, and then waits until all
// connections have ended. It closes l; when ctx ends, it closes the connections too. It
// returns the error of l, or nil if l was closed. If l is a listener of package
// crypto/tls, connections use TLS.
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

// serve accepts clients until l is closed, and waits until their connections have ended.
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
		s.Pending.Add(socket)
		poller.Go(func() { s.open(ctx, socket, poller, open.Done) })
	}
}

// accept accepts a client. It retries after temporary errors, such as a lack of file
// descriptors.
func (s *Server) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		c, err := l.Accept()
		// Temporary is deprecated because it is vague, but net/http uses it for the
		// same purpose.
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

// open adds a client to the engine and serves it. It calls done after the socket is closed.
func (s *Server) open(ctx context.Context, socket net.Conn, poller *stream.Poller, done func()) {
	defer s.Pending.Remove(socket)
	tenant, err := s.handshake(ctx, socket)
	if err != nil {
		socket.Close()
		s.log().Debug("TLS handshake failed", "remote", socket.RemoteAddr(), "error", err)
		done()
		return
	}
	c := &conn{Stream: stream.New(socket, nil), server: s}
	poller.Watch(c.Stream)
	info := infoOf(socket)
	seat, err := s.Engine.Reserve(engine.ReservationRequest{Tenant: tenant, RemoteIP: info.RemoteIP})
	if err != nil {
		c.refuse(refusal(err))
		done()
		return
	}
	if c.peer, err = seat.Open(ctx, info, c); err != nil {
		var why engine.Close
		errors.As(err, &why)
		c.refuse(c.Farewell(why))
		done()
		return
	}
	c.lines = wire.Lines{Delimiter: s.Delimiter}
	c.serve(ctx, done)
}

// handshake does the TLS handshake if socket uses TLS, and returns the client's tenant.
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
