package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/dial"
)

// roundTripper returns the transport of the tenant's services that are restricted, or of the others: a restricted service must not use a
// connection that was made for another one. After a change of the permitted networks both are new.
func (t *tenant) roundTripper(restricted bool) *http.Transport {
	networks := t.client.limits.Load().Networks
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.networks, networks) {
		t.closeIdle()
		t.transport, t.restricted, t.networks = nil, nil, networks
	}
	of := &t.transport
	if restricted {
		of = &t.restricted
	}
	if *of == nil {
		*of = t.newTransport()
	}
	return *of
}

// newTransport returns a transport. It speaks HTTP/1.1 and uses no proxy. It does not follow redirects.
func (t *tenant) newTransport() *http.Transport {
	idle := t.limits.Load().Requests
	next := &http.Transport{MaxIdleConns: idle, MaxIdleConnsPerHost: idle, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader,
		DisableCompression: true, Protocols: new(http.Protocols), DialContext: t.dial, DialTLSContext: t.dialTLS}
	next.Protocols.SetHTTP1(true)
	return next
}

// closeIdle closes the connections that no request uses. The caller holds t.mu.
func (t *tenant) closeIdle() {
	for _, of := range []*http.Transport{t.transport, t.restricted} {
		if of != nil {
			of.CloseIdleConnections()
		}
	}
}

// dialed is the service that a connection is made for, and the end of its time. net/http ends no connection with its request.
type dialed struct {
	service *service
	until   time.Time
}

type dialedKey struct{}

func dialing(ctx context.Context, s *service) context.Context {
	until, _ := ctx.Deadline()
	return context.WithValue(ctx, dialedKey{}, dialed{s, until})
}

// dial connects to a service within the time of the question that needs the connection.
func (t *tenant) dial(ctx context.Context, network, address string) (net.Conn, error) {
	of := ctx.Value(dialedKey{}).(dialed)
	ctx, cancel := context.WithDeadline(ctx, of.until)
	defer cancel()
	own, all := t.conns.Add(1), t.client.conns.Add(1)
	ended := func() {
		t.conns.Add(-1)
		t.client.conns.Add(-1)
	}
	if own > connsOf(t.limits.Load().Requests) || own > max(1, connsOf(t.client.limits.Load().Requests)-all) {
		ended()
		return nil, &ask.BusyError{Wait: busyTime(of.service.spec.Timeout)}
	}
	connect := t.client.connect
	if connect == nil {
		connect = of.service.guardOf(hostOf(address), t.client.limits.Load().Networks).DialContext
	}
	c, err := connect(ctx, network, address)
	if err != nil {
		ended()
		return nil, err
	}
	return &conn{Conn: c, ended: sync.OnceFunc(ended)}, nil
}

// hostOf returns the host of an address to dial: for a name with letters beyond ASCII, its ASCII form.
func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // net/http has made it
	return host
}

// guardOf returns the guard of the service's connections. For a host that the operator chose, the guard remembers how internal its first
// address was, and refuses a more internal one later.
func (s *service) guardOf(host string, networks []netip.Prefix) *dial.Guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.guard == nil:
		s.guard = &dial.Guard{Networks: networks}
		if !s.spec.Restricted {
			s.guard.Host = host
		}
	case !slices.Equal(s.guard.Networks, networks):
		s.guard = s.guard.With(networks)
	}
	return s.guard
}

// connsOf returns the number of connections for a number of requests: half of them may be unused, or be made for questions that have ended.
func connsOf(requests int) int64 { return 2 * int64(requests) }

// crowded reports whether the tenant or the node has more connections than it may have requests. A connection is then closed after its request.
func (t *tenant) crowded() bool {
	return t.conns.Load() > int64(t.limits.Load().Requests) || t.client.conns.Load() > int64(t.client.limits.Load().Requests)
}

// dialTLS is dial, with TLS.
func (t *tenant) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	of := ctx.Value(dialedKey{}).(dialed)
	plain, err := t.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, of.until)
	defer cancel()
	c := tls.Client(plain, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: of.service.spec.Roots, ServerName: hostOf(address), NextProtos: []string{"http/1.1"}})
	if err := c.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, handshakeError{err}
	}
	return c, nil
}

// conn is a connection that is counted.
type conn struct {
	net.Conn
	ended func()
}

func (c *conn) Close() error {
	defer c.ended()
	return c.Conn.Close()
}

type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// failure returns the failure for an error of net/http. It shows no text that the service has sent, which may repeat a secret.
func failure(err error) error {
	if busy, ok := errors.AsType[*ask.BusyError](err); ok {
		return busy
	}
	return &ask.Failure{Kind: ask.Unreachable, Err: cause(err)}
}

func cause(err error) error {
	if refused, ok := errors.AsType[*dial.RefusedError](err); ok {
		return refused
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		if name.IsNotFound {
			return fmt.Errorf("the host %s does not exist", name.Name)
		}
		return fmt.Errorf("the name of the host %s cannot be resolved", name.Name)
	}
	if of, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("the connection failed: %w", of)
	}
	if of, ok := errors.AsType[handshakeError](err); ok {
		return tlsCause(of.error)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the service closed the connection before the end of its answer")
	}
	return errors.New("the answer is not valid HTTP/1.1, or its header is too large")
}

// tlsCause describes why a TLS handshake failed, without names of the certificate.
func tlsCause(err error) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return errors.New("the certificate of the service is expired or not valid yet")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errors.New("the certificate of the service is of an unknown authority")
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return errors.New("the certificate of the service is not for its host")
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return fmt.Errorf("the TLS handshake failed: %w", alert)
	}
	return errors.New("the TLS handshake failed")
}
