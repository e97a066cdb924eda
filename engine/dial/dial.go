// Package dial guards connections to addresses that the operator did not choose. They
// come from a redirect, the token service of a registry, DNS, or a tenant's file. A
// guard checks the address of each connection after the name is resolved, so that a
// name whose address changes cannot pass the guard.
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

// Guard guards one request and all requests that follow from it. It always allows
// public addresses and those of Networks. Set the fields before the first use; the
// methods are safe for concurrent use.
type Guard struct {
	// Networks are internal networks that the operator permits.
	Networks []netip.Prefix

	// Host is the host that the operator chose, without a port. It may have any
	// address. The scope of its first connection limits all later addresses: they may
	// be private only if Host's address was private or loopback, and loopback only if
	// it was loopback. If Host is "", only public addresses and Networks are allowed.
	Host string

	mu      sync.Mutex
	reached bool     // a connection to Host was made
	limit   scope    // of that connection
	proxies []string // hosts of proxies that the environment names
}

// scope is how internal an address is; a greater scope is more internal.
type scope int

const (
	public   scope = iota
	private        // RFC 1918, unique local, carrier-grade NAT
	loopback       // this machine
	special        // link-local, where clouds serve credentials; multicast, unspecified, reserved
)

// Public reports whether an address belongs to the public Internet. An IPv4 address in an
// IPv6 address counts as the IPv4 address if it is mapped (::ffff:0:0/96) or translated
// (64:ff9b::/96). Addresses of 6to4, Teredo and other forms are not public.
func Public(addr netip.Addr) bool { return scopeOf(addr) == public }

// nat64 is the prefix that stands for IPv4 addresses in networks without IPv4.
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

func scopeOf(addr netip.Addr) scope {
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

// RefusedError means that a guard refused an address.
type RefusedError struct {
	Host string // the name or address that was dialed
	Addr netip.Addr
}

// Error returns a message that names the host, the address and the setting that permits it.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s has the address %s, which is not public: permit its network with limits.privateNetworks", e.Host, e.Addr)
}

// With returns a guard for the same Host that permits other Networks. The scope of the first
// connection to Host still applies.
func (g *Guard) With(networks []netip.Prefix) *Guard {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &Guard{Networks: networks, Host: g.Host, reached: g.reached, limit: g.limit, proxies: slices.Clone(g.proxies)}
}

// check returns nil if an address of a host is allowed, else a *RefusedError.
func (g *Guard) check(host string, addr netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	is := scopeOf(addr)
	inside := func(n netip.Prefix) bool { return n.Contains(plain(addr)) }
	switch {
	case is == public, slices.ContainsFunc(g.Networks, inside), g.isHost(host) && !g.reached, slices.Contains(g.proxies, strings.ToLower(host)):
		return nil
	case is <= g.limit && (g.isHost(host) || g.limit < special):
		return nil
	}
	return &RefusedError{host, addr}
}

func (g *Guard) isHost(host string) bool { return g.Host != "" && strings.EqualFold(host, g.Host) }

// DialContext connects to an address like [net.Dialer]. It fails with a [RefusedError]
// if the address is not allowed.
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
	if err == nil && g.isHost(host) {
		g.setLimit(conn.RemoteAddr())
	}
	return conn, err
}

// setLimit records the scope of the first connection to Host.
func (g *Guard) setLimit(remote net.Addr) {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.reached {
			g.reached, g.limit = true, scopeOf(tcp.AddrPort().Addr())
		}
	}
}

// Transport returns a new transport whose connections the guard checks. It shares no
// connections with other transports. If Host is set, it uses the environment's proxy.
// The proxy resolves names itself and must guard its own network. The caller closes
// idle connections.
func (g *Guard) Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = g.DialContext, nil
	if g.Host != "" {
		t.Proxy = g.proxy
	}
	return t
}

// proxy returns the environment's proxy for a request, and allows the proxy's host.
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
