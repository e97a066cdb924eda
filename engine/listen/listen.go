// Package listen opens the listeners of a node: TCP, the PROXY protocol, and TLS with a
// certificate that is replaced when its files change.
package listen

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
)

// Config configures a listener. Only Address is required.
type Config struct {
	Address string // for example ":8080"

	// Cert and Key are PEM files; "" means no TLS. Handshakes check whether the files
	// have changed, at most once in 5 s.
	Cert, Key string

	// ALPN are the protocols over TLS, for example "http/1.1"; nil: no negotiation.
	ALPN []string

	// Proxies are networks of proxies. Each connection from them begins with a PROXY
	// header, version 1 or 2, which has the address of the client. Connections from
	// other networks have no such header.
	Proxies []netip.Prefix

	// Descriptors makes Accept wait while the process has no free file descriptors. If
	// it is nil, Accept fails.
	Descriptors *Descriptors

	// Reserved makes Accept use the reserve of Descriptors.
	Reserved bool

	Log *slog.Logger // nil: slog.Default()
}

// Open opens a listener, with TLS 1.2 or newer if the config has a certificate. Accept does
// not wait for a client's bytes: the first Read or RemoteAddr of a connection reads the
// PROXY header, and the first Read does the TLS handshake. Open gives up when ctx ends.
func Open(ctx context.Context, c Config) (net.Listener, error) {
	secure, err := c.tls(ctx)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.(*net.TCPListener); ok && c.Descriptors != nil {
		l = newWaitingListener(tcp, &c)
	}
	if len(c.Proxies) > 0 {
		l = &proxyListener{l, c.Proxies}
	}
	if secure != nil {
		l = &tlsListener{tls.NewListener(l, secure), secure.GetCertificate}
	}
	return l, nil
}

// Check returns an error if the certificate cannot be used. It gives up when ctx ends.
func Check(ctx context.Context, c Config) error {
	_, err := c.tls(ctx)
	return err
}

// tls returns the TLS configuration, or nil if there is no certificate.
func (c Config) tls(ctx context.Context) (*tls.Config, error) {
	if c.Cert == "" && c.Key == "" {
		return nil, nil
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	cert, err := newCertificate(ctx, c.Cert, c.Key, log)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: c.ALPN, GetCertificate: cert.get}, nil
}
