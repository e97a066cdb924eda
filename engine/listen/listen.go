// Package listen opens the listeners of a node: TCP, behind proxies that say for
// whom they connect, and TLS whose certificate changes while it is served.
package listen

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
)

// Config is what a listener is. Only Address is needed.
type Config struct {
	Address string // such as ":8080"

	// Cert and Key are PEM files; "": no TLS. Both are looked at again and again.
	Cert, Key string

	// ALPN is what is spoken over TLS, such as "http/1.1"; none: whatever clients say.
	ALPN []string

	// Proxies are the networks whose connections begin with a header of the PROXY
	// protocol, version 1 or 2, which says whose they are. What others send is not
	// taken for one. None: there are no such headers.
	Proxies []netip.Prefix

	// Descriptors has Accept wait while the process has no file descriptors left, in
	// place of failing. nil: it fails.
	Descriptors *Descriptors

	// Reserved lets some clients in then too, by the descriptors that are kept back.
	Reserved bool

	Log *slog.Logger // nil: slog.Default()
}

// Open opens a listener, with TLS 1.2 or newer where there is a certificate. What
// its Accept gives may be taken for one of package net or tls: reading the header
// of a proxy, as the handshake of TLS, is left to who reads the connection, or asks
// for its RemoteAddr. Files that do not answer are given up when ctx ends.
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
		l = newPatient(tcp, &c)
	}
	if len(c.Proxies) > 0 {
		l = &behindProxies{l, c.Proxies}
	}
	if secure != nil {
		l = &secured{tls.NewListener(l, secure), secure.GetCertificate}
	}
	return l, nil
}

// Check says what is wrong with the certificate. It gives up when ctx ends.
func Check(ctx context.Context, c Config) error {
	_, err := c.tls(ctx)
	return err
}

// tls is nil where there is none.
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
