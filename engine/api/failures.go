package api

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	maxGuesses   = 20              // wrong keys in a row before an address must wait
	forgetAfter  = 6 * time.Second // time after which one wrong key is forgotten
	maxAddresses = 4096            // addresses in each of two maps
)

// failures counts wrong keys by address to limit guesses. Its memory is bounded: when late is full, it replaces early, and
// the previous addresses of early are forgotten.
type failures struct {
	now func() time.Time

	mu          sync.Mutex
	late, early map[netip.Prefix]time.Time // time at which all wrong keys of the address are forgotten
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, late: map[netip.Prefix]time.Time{}}
}

// wait returns the time that the address must wait; 0: it may send a key now.
func (f *failures) wait(a netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	free := f.get(a).Add(-(maxGuesses - 1) * forgetAfter) // time at which one wrong key is forgotten
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
	if len(f.late) >= maxAddresses {
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

// addressOf returns the address of the client of a request.
func addressOf(r *http.Request) netip.Prefix { return prefixOf(r.RemoteAddr) }

// prefixOf returns the address of "address:port"; for IPv6 its /64 network, because a client can have all addresses of the
// network. It returns the zero Prefix if remote has no address.
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
