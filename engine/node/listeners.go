package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/listen"
)

// listeners are the listeners of a node.
type listeners struct {
	web     net.Listener
	admin   net.Listener   // nil if admin.listen is ""
	sockets []net.Listener // in the order of config.Sockets
}

// otherFiles is the number of open files that a node may need besides the sockets of its clients: for
// listeners, Redis, operators, and loading modules.
const otherFiles = 256

// checkFiles warns if the limit of open files is lower than limits.connections requires.
func (n *Node) checkFiles() {
	limit, connections := listen.Limit(), n.cfg.Limits.Connections
	if limit > 0 && uint64(connections)+otherFiles > limit {
		n.log.Warn("limits.connections is more than the limit of open files allows: raise that (LimitNOFILE= of systemd, ulimit -n), or lower limits.connections",
			"connections", connections, "openFiles", limit, "needed", connections+otherFiles)
	}
}

// minPending is the number of connections that may always be open without a client, also if all
// places of clients are taken: their requests are answered with a refusal.
const minPending = 128

// mostPending returns the number of connections that may be open and have no client: as many as
// clients can still connect, within the limit of open files.
func (n *Node) mostPending() int {
	most, least := n.reloader.current.Load().Limits.Connections, minPending
	if limit := int(min(listen.Limit(), math.MaxInt32)); limit > 0 {
		most = min(most, max(limit-otherFiles, limit/2))
		least = min(least, limit/4)
	}
	return max(least, most-n.engine.Open())
}

// listen opens all listeners. After an error none stays open.
func (n *Node) listen(ctx context.Context) (*listeners, error) {
	d := new(listeners)
	var err error
	if d.web, err = n.open(ctx, "http", n.cfg.HTTP.Listen, n.cfg.HTTP.TLS, n.cfg.HTTP.ProxyProtocol, "http/1.1"); err != nil {
		return nil, err
	}
	for _, s := range n.cfg.Sockets() {
		l, err := n.open(ctx, "socket", s.Listen, s.TLS, s.ProxyProtocol)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.sockets = append(d.sockets, l)
	}
	if d.admin, err = n.listenAdmin(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// open opens one listener. what is the section of the configuration.
func (n *Node) open(ctx context.Context, what, address string, tls config.TLS, proxied bool, alpn ...string) (net.Listener, error) {
	c := listen.Config{Address: address, Cert: tls.Cert.Absolute, Key: tls.Key.Absolute, ALPN: alpn, Descriptors: n.descriptors, Reserved: what == "admin", Log: n.log}
	if proxied {
		c.Proxies = n.cfg.Proxies()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the certificate was not read within %v", readTime))
	defer cancel()
	l, err := listen.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w", what, err)
	}
	return l, nil
}

func (d *listeners) closeSockets() error {
	var errs []error
	for _, l := range d.sockets {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// close closes all open listeners.
func (d *listeners) close() error {
	errs := []error{d.closeSockets()}
	for _, l := range []net.Listener{d.web, d.admin} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *listeners) addresses() Addresses {
	a := Addresses{HTTP: d.web.Addr().String()}
	for _, l := range d.sockets {
		a.Sockets = append(a.Sockets, l.Addr().String())
	}
	if d.admin != nil {
		a.Admin = d.admin.Addr().String()
	}
	return a
}
