package config

import (
	"net"
	"net/netip"
)

// Proxies are the networks of Trusted.
func (c *Config) Proxies() (all []netip.Prefix) {
	for _, text := range c.Trusted {
		if n, err := network(text); err == nil { // checked already
			all = append(all, n)
		}
	}
	return all
}

// Networks are those of PrivateNetworks.
func (l Limits) Networks() (all []netip.Prefix) {
	for _, text := range l.PrivateNetworks {
		if n, err := network(text); err == nil { // checked already
			all = append(all, n)
		}
	}
	return all
}

// network reads a network, or an address, which is one of its own.
func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	n, err := netip.ParsePrefix(text)
	return n.Masked(), err
}

// Sockets are all listeners of TCP clients.
func (c *Config) Sockets() (all []SocketOfMore) {
	if s := c.Socket; s.Listen != "" {
		all = append(all, SocketOfMore{s.Listen, s.Tenant, s.Delimiter, s.TLS, s.ProxyProtocol, s.Reading})
	}
	return append(all, c.Socket.More...)
}

// SocketName is the setting of a listener of Sockets, such as "socket.more[0]".
func (c *Config) SocketName(i int) string {
	if c.Socket.Listen != "" {
		i--
	}
	if i < 0 {
		return "socket"
	}
	return cursor{path: "socket"}.key("more").index(i).path
}

// checkListeners asks that each has an address of its own, a whole certificate, a tenant
// there is, and proxies where it waits for what they say.
func (l *load) checkListeners(c *Config) {
	taken := map[string]Pos{}
	l.checkListener(c, taken, cursor{path: "http"}, c.HTTP.Listen, c.HTTP.TLS, c.HTTP.ProxyProtocol)
	l.checkListener(c, taken, cursor{path: "admin"}, c.Admin.Listen, c.Admin.TLS, false)
	l.checkAdmin(c.Admin)
	for i, tenant := range c.Admin.Metrics.Named {
		path := l.item("admin.metrics.named", i)
		if _, ok := c.Tenants[tenant]; !ok && !l.bad[path] {
			l.problem(l.pos(path), path, l.unknown(path, "tenant", tenant, sorted(c.Tenants)))
		}
	}
	at := cursor{path: "socket"}
	l.checkListener(c, taken, at, c.Socket.Listen, c.Socket.TLS, c.Socket.ProxyProtocol)
	if c.Socket.Listen != "" {
		l.checkTenantOf(c, at, c.Socket.Tenant)
	}
	for i, s := range c.Socket.More {
		at := at.key("more").index(i)
		l.checkListener(c, taken, at, s.Listen, s.TLS, s.ProxyProtocol)
		l.checkTenantOf(c, at, s.Tenant)
	}
}

func (l *load) checkListener(c *Config, taken map[string]Pos, at cursor, address string, tls TLS, proxied bool) {
	say := func(is bool, key, message string) {
		if path := at.key(key).path; is && !l.bad[path] {
			l.problem(l.pos(path), path, message)
		}
	}
	_, port, err := net.SplitHostPort(address)
	first, again := taken[address]
	say(again, "listen", l.shows(at.key("listen").path, address)+" is listened on already, at "+first.String())
	if err == nil && port != "0" && !again { // any free port is another one each time
		taken[address] = l.pos(at.key("listen").path)
	}
	say((tls.Cert.Written == "") != (tls.Key.Written == ""), "tls", "has a cert or a key alone: they go together")
	say(proxied && len(c.Trusted) == 0, "proxyProtocol", "needs trustedProxies: nobody else's header is believed")
}

// checkAdmin warns of keys that cross a network in plain text.
func (l *load) checkAdmin(a Admin) {
	host, _, err := net.SplitHostPort(a.Listen)
	if err != nil || a.TLS.Cert.Written != "" || host == "localhost" {
		return
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return
	}
	const path = "admin.listen"
	pos := l.pos(path)
	l.warnings = append(l.warnings, Problem{pos.File, pos.Line, path, l.shows(path, a.Listen) +
		" is reachable from other hosts without TLS, and keys of the API cross the network in plain text: set admin.tls, or listen on 127.0.0.1"})
}

func (l *load) checkTenantOf(c *Config, at cursor, tenant string) {
	path := at.key("tenant").path
	if _, ok := c.Tenants[tenant]; !ok && tenant != "" && !l.bad[path] {
		l.problem(l.pos(path), path, l.unknown(path, "tenant", tenant, sorted(c.Tenants)))
	}
}
