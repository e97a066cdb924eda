// Package dial guards connections to addresses that others than the operator may choose: by
// a redirect, the token service of a registry, a name in DNS, or a tenant's file. Addresses
// are checked when they are dialled, after names are resolved, so that a name that changes
// its address changes nothing.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Guard is for one errand: a request, and all the requests that it leads to. Public
// addresses, and those of Networks, are always allowed. Set its fields before it is used; its
// methods may be called concurrently.
type Guard struct {
	// Networks are internal networks that the operator permits.
	Networks []netip.Prefix

	// Host is the host that the operator named, without a port: it may be anywhere. Where it
	// is met first decides about all that follows, a name that changes its address too: it is
	// in a private network only if Host was, on this machine only if Host was. "": nobody is
	// trusted like this.
	Host string

	mu      sync.Mutex
	met     bool // Host was
	near    nearness
	proxies []string // hosts of proxies that the environment names
}

// nearness is how near an address is.
type nearness int

const (
	public   nearness = iota
	private           // RFC 1918, unique local, carrier-grade NAT
	loopback          // this machine
	special           // link-local, where clouds keep credentials; multicast, unspecified, reserved
)

// Public tells whether an address is one of the public Internet. An IPv4 address within one
// of IPv6 counts as what it is: mapped (::ffff:0:0/96), or translated (64:ff9b::/96). 6to4,
// Teredo and other forms are not public.
func Public(addr netip.Addr) bool { return nearnessOf(addr) == public }

// nat64 is what networks without IPv4 have in front of its addresses.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

var cgnat = netip.MustParsePrefix("100.64.0.0/10")

func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

func nearnessOf(addr netip.Addr) nearness {
	addr = plain(addr)
	switch {
	case addr.IsLoopback():
		return loopback
	case addr.IsPrivate() || cgnat.Contains(addr):
		return private
	case addr.IsMulticast() || ssrf.New(ssrf.WithAnyPort()).SafeAddr(addr) != nil:
		return special
	}
	return public
}

// RefusedError is that an address was not dialled.
type RefusedError struct {
	Host string // as it was named
	Addr netip.Addr
}

// Error says what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s has the address %s, which is not public: it is not connected to, unless the operator permits its network (limits.privateNetworks)", e.Host, e.Addr)
}

// check allows an address of a host, or says why not.
func (g *Guard) check(host string, addr netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	is := nearnessOf(addr)
	inside := func(n netip.Prefix) bool { return n.Contains(plain(addr)) }
	switch {
	case is == public, slices.ContainsFunc(g.Networks, inside), g.named(host) && !g.met, slices.Contains(g.proxies, strings.ToLower(host)):
		return nil
	case is <= g.near && (g.named(host) || g.near < special):
		return nil
	}
	return &RefusedError{host, addr}
}

func (g *Guard) named(host string) bool { return g.Host != "" && strings.EqualFold(host, g.Host) }

// DialContext is that of [net.Dialer], for addresses that are allowed.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return g.check(host, at.Addr())
	}}
	conn, err := d.DialContext(ctx, network, address)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, refused
	}
	if err == nil && g.named(host) {
		g.reached(conn.RemoteAddr())
	}
	return conn, err
}

// reached is that the named host is at an address.
func (g *Guard) reached(at net.Addr) {
	if tcp, ok := at.(*net.TCPAddr); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.met {
			g.met, g.near = true, nearnessOf(tcp.AddrPort().Addr())
		}
	}
}

// Transport is a transport of its own for the errand: a connection that another errand
// opened is never used. For a host that the operator named it uses the environment's proxy,
// which resolves names itself and must guard its own network. The caller closes idle
// connections.
func (g *Guard) Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = g.DialContext, nil
	if g.Host != "" {
		t.Proxy = g.proxy
	}
	return t
}

func (g *Guard) proxy(r *http.Request) (*url.URL, error) {
	to, err := http.ProxyFromEnvironment(r)
	if to == nil || err != nil {
		return to, err
	}
	if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil {
		if err := g.check(r.URL.Hostname(), addr); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if host := strings.ToLower(to.Hostname()); !slices.Contains(g.proxies, host) {
		g.proxies = append(g.proxies, host)
	}
	return to, nil
}
