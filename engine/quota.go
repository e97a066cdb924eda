package engine

// quota are a tenant's connections, as the node counts them.
type quota struct {
	taken      int
	away       int            // of those, whose clients may come back
	resumeOnly int            // clients without a place, let in to resume one of those that are away
	guaranteed int            // places that no other tenant can take
	perIP      map[string]int // by address; nil until one is known
}

// divideQuota divides the node's connections among its tenants: one half in equal parts,
// guaranteed to each tenant, so that no other tenant can keep its clients out; any tenant
// may use the rest. It is called with mu held when tenants or limits have changed;
// tenants that were removed may still have connections.
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

// takePlace takes a place, or returns why there is none. It is called with mu held.
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
	if ip != "" { // also without a limit: a reload may set one
		if p.perIP == nil {
			p.perIP = map[string]int{}
		}
		p.perIP[ip]++
	}
	return ""
}

// givePlace returns a place. It is called with mu held.
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

// admitToResume lets a client in for which there is no place, if a connection is away
// that it may resume: the client can do nothing else. It is called with mu held.
func (t *tenant) admitToResume() bool {
	if t.quota.resumeOnly >= t.quota.away {
		return false
	}
	t.quota.resumeOnly++
	return true
}

// keepPlace takes a place for a client that was let in to resume and did not, if there is
// one by now.
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
