package engine

// quota counts a tenant's connections on this node.
type quota struct {
	taken      int
	away       int            // connections that are away and may be resumed; they are included in taken
	resumeOnly int            // clients without a place that were accepted only to resume one of the away connections
	guaranteed int            // places that only this tenant can take
	perIP      map[string]int // by address; nil until an address is known
	asking     map[string]int // connections whose connect chain waits for a service, by network; nil: none has waited
}

// divideQuota divides the node's connections among its tenants. One half is guaranteed to
// the tenants in equal parts, so that no tenant can lock out the clients of another one.
// All tenants may use the rest. It is called when tenants or limits have changed; removed
// tenants may still have connections. The caller holds mu.
func (e *Engine) divideQuota(now *settings) {
	e.free = now.limits.Connections
	for name, t := range e.allTenants {
		t.quota.guaranteed = 0
		if now.tenants[name] != nil {
			t.quota.guaranteed = now.limits.Connections / 2 / len(now.tenants)
		}
		if most := t.cfg().Limits.Connections; most > 0 {
			t.quota.guaranteed = min(t.quota.guaranteed, most)
		}
		e.free -= max(t.quota.guaranteed, t.quota.taken)
	}
}

// takePlace takes a place, or returns the reason why there is none. The caller holds mu.
func (e *Engine) takePlace(t *tenant, ip string) (why string) {
	p, perIP := &t.quota, t.cfg().Limits.ConnectionsPerIP
	beyond := p.taken >= p.guaranteed
	switch most := t.cfg().Limits.Connections; {
	case most > 0 && p.taken >= most, beyond && e.free <= 0:
		return "too many connections"
	case perIP > 0 && ip != "" && p.perIP[ip] >= perIP:
		return "too many connections from this address"
	}
	if beyond {
		e.free--
	}
	p.taken++
	if ip != "" { // addresses are also counted without a limit, because a reload may set one
		if p.perIP == nil {
			p.perIP = map[string]int{}
		}
		p.perIP[ip]++
	}
	return ""
}

// givePlace returns a place. The caller holds mu.
func (e *Engine) givePlace(t *tenant, ip string) {
	p := &t.quota
	if p.taken > p.guaranteed {
		e.free++
	}
	p.taken--
	if ip == "" {
		return
	}
	if p.perIP[ip]--; p.perIP[ip] == 0 {
		delete(p.perIP, ip)
	}
}

// admitToResume accepts a client without a place if a connection is away that it may
// resume. Such a client can only resume. The caller holds mu.
func (t *tenant) admitToResume() bool {
	if t.quota.resumeOnly >= t.quota.away {
		return false
	}
	t.quota.resumeOnly++
	return true
}

// keepPlace takes a place for a client that was accepted only to resume and did not. It
// returns false if there is still no place.
func (e *Engine) keepPlace(s *Reservation) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.takePlace(s.t, s.ip) != "" {
		return false
	}
	s.resumeOnly = false
	s.t.quota.resumeOnly--
	return true
}
