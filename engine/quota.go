package engine

// places are a tenant's connections, as the node counts them.
type quota struct {
	taken      int
	away       int            // of those, whose clients may come back
	resumeOnly int            // who have no place, and may be such clients
	guaranteed int            // that no other tenant can take
	perIP      map[string]int // nil until one is known
}

// share divides the node's places among its tenants: one half in equal parts,
// each sure for its tenant, so that no other tenant can keep its clients out; the
// rest is for whoever comes. It is called with mu held when tenants or limits have
// changed; tenants that were removed may still have connections.
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

// take takes a place, or says why there is none. It is called with mu held.
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
	if ip != "" { // also without a limit: there may be one tomorrow
		if p.perIP == nil {
			p.perIP = map[string]int{}
		}
		p.perIP[ip]++
	}
	return ""
}

// give gives a place back. It is called with mu held.
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

// asGuest lets a client in for which there is no place, if it may be one of those
// who have one: it can then resume its session, and nothing else. It is called with
// mu held.
func (t *tenant) admitToResume() bool {
	if t.quota.resumeOnly >= t.quota.away {
		return false
	}
	t.quota.resumeOnly++
	return true
}

// stay gives a guest who did not resume a place, if there is one by now.
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
