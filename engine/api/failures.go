package api

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	mostGuesses   = 20              // wrong keys in a row, before an address has to wait
	forgetAfter   = 6 * time.Second // one of them
	mostAddresses = 4096            // that are remembered, twice
)

// failures counts wrong keys by address, so that nobody guesses on and on. What it
// remembers is bounded: when the addresses of late are many, those before them are
// forgotten.
type failures struct {
	now func() time.Time

	mu          sync.Mutex
	late, early map[netip.Prefix]time.Time // when all guesses are forgotten
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, late: map[netip.Prefix]time.Time{}}
}

// wait is how long the address has to wait; 0: it may try.
func (f *failures) wait(a netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	free := f.get(a).Add(-(mostGuesses - 1) * forgetAfter) // one guess is forgotten then
	return max(0, free.Sub(f.now()))
}

// count counts a wrong key.
func (f *failures) count(a netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := f.get(a)
	if now := f.now(); until.Before(now) {
		until = now
	}
	if len(f.late) >= mostAddresses {
		f.early, f.late = f.late, map[netip.Prefix]time.Time{}
	}
	f.late[a] = until.Add(forgetAfter)
}

func (f *failures) get(a netip.Prefix) time.Time {
	if t, ok := f.late[a]; ok {
		return t
	}
	return f.early[a]
}

// addressOf is the address that a request comes from.
func addressOf(r *http.Request) netip.Prefix { return prefixOf(r.RemoteAddr) }

// prefixOf is the address of "address:port"; of IPv6 the network, which has as many
// addresses as one likes. Zero: there is none.
func prefixOf(remote string) netip.Prefix {
	host, _, _ := net.SplitHostPort(remote)
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
