package config

import (
	"net"
	"net/netip"
)

// Proxies returns the networks of TrustedProxies.
func (c *Config) Proxies() (all []netip.Prefix) {
	for _, text := range c.TrustedProxies {
		if n, err := network(text); err == nil { // the error was reported by check
			all = append(all, n)
		}
	}
	return all
}

// Networks returns the networks of PrivateNetworks.
func (l Limits) Networks() (all []netip.Prefix) {
	for _, text := range l.PrivateNetworks {
		if n, err := network(text); err == nil { // the error was reported by check
			all = append(all, n)
		}
	}
	return all
}

// network parses a network, or an address as a network of one address.
func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	n, err := netip.ParsePrefix(text)
	return n.Masked(), err
}

// Sockets returns all listeners of TCP clients.
func (c *Config) Sockets() (all []SocketListener) {
	if s := c.Socket; s.Listen != "" {
		all = append(all, SocketListener{s.Listen, s.Tenant, s.Delimiter, s.TLS, s.ProxyProtocol, s.Reading})
	}
	return append(all, c.Socket.More...)
}

// SocketName returns the path of the setting of listener i of Sockets, such as "socket.more[0]".
func (c *Config) SocketName(i int) string {
	if c.Socket.Listen != "" {
		i--
	}
	if i < 0 {
		return "socket"
	}
	return cursor{path: "socket"}.key("more").index(i).path
}

// checkListeners checks that each listener has an address of its own, a complete
// certificate, an existing tenant, and trusted proxies if it expects PROXY headers.
func (l *load) checkListeners(c *Config) {
	taken := map[string]Pos{}
	l.checkListener(c, taken, cursor{path: "http"}, c.HTTP.Listen, c.HTTP.TLS, c.HTTP.ProxyProtocol)
	l.checkListener(c, taken, cursor{path: "admin"}, c.Admin.Listen, c.Admin.TLS, false)
	l.checkAdmin(c.Admin)
	for i, tenant := range c.Admin.Metrics.Named {
		path := l.item("admin.metrics.named", i)
		if _, ok := c.Tenants[tenant]; !ok && !l.isBad(path) && !l.incomplete() {
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
	report := func(is bool, key, message string) {
		if path := at.key(key).path; is && !l.isBad(path) {
			l.problem(l.pos(path), path, message)
		}
	}
	_, port, err := net.SplitHostPort(address)
	first, again := taken[address]
	report(again, "listen", l.shows(at.key("listen").path, address)+" is the address of another listener, at "+first.String()+": use another port")
	if err == nil && port != "0" && !again { // port 0 is a different free port each time
		taken[address] = l.pos(at.key("listen").path)
	}
	report((tls.Cert.Written == "") != (tls.Key.Written == ""), "tls", "has only one of cert and key: set both or none")
	report(proxied && len(c.TrustedProxies) == 0, "proxyProtocol", "needs trustedProxies: set the networks whose PROXY headers are accepted")
}

// checkAdmin warns if keys of the API cross a network in plain text.
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
	if _, ok := c.Tenants[tenant]; !ok && tenant != "" && !l.isBad(path) && !l.incomplete() {
		l.problem(l.pos(path), path, l.unknown(path, "tenant", tenant, sorted(c.Tenants)))
	}
}
