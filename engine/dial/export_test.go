package dial

import (
	"net"
	"net/netip"
)

func (g *Guard) Check(host string, addr netip.Addr) error { return g.check(host, addr) }

func (g *Guard) Reached(at net.Addr) { g.setLimit(at) }
