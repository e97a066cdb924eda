package config

import (
	"net"
	"strings"
)

// TenantOf is the tenant of an HTTP request by its Host header, with or without a port,
// and the path of its URL.
//
// A host or a path is enough to match. A path is more specific than a host, and a longer
// path than a shorter one; no two tenants have the same. What matches nothing is the
// tenant "default"; ok is false where there is none.
func (c *Config) TenantOf(host, path string) (name string, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	name, longest := "default", 0
	for tenant, t := range c.Tenants {
		for _, h := range t.Match.Host {
			if h == host && longest == 0 {
				name = tenant
			}
		}
		for _, p := range t.Match.Path {
			if rest, ok := strings.CutPrefix(path, p); ok && len(p) > longest && (rest == "" || rest[0] == '/') {
				name, longest = tenant, len(p)
			}
		}
	}
	_, ok = c.Tenants[name]
	return name, ok
}
