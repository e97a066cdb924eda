package moderation

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/glob"
)

// List holds the sanctions of a tenant on a node. Find may run concurrently with changes and
// with itself: it takes no lock and allocates nothing. The zero List is empty.
type List struct {
	count    atomic.Int64
	users    table[string]
	networks table[netip.Prefix]
	lengths  atomic.Pointer[lengths] // nil: no networks

	mu   sync.Mutex // serializes changes
	byID map[string]*entry
	v4   [33]int // number of networks of each length
	v6   [129]int
}

// lengths are the lengths of the networks in a list.
type lengths struct{ v4, v6 []int }

// entry is a sanction in a list. It is immutable.
type entry struct {
	Sanction
	rooms *glob.Glob // nil: all rooms
}

// Client is a connection whose sanctions Find returns.
type Client struct {
	User    string // "": none
	Address string // IP address; a text that is not one has no sanctions
}

// Find returns the sanction of that kind that holds for the client in the room now, or nil. Of
// several it returns the one that ends last. For room "" only sanctions of all rooms hold. The
// caller must not change the result.
func (l *List) Find(who Client, kind Kind, room string) *Sanction {
	if l.count.Load() == 0 {
		return nil
	}
	var last *entry
	if who.User != "" {
		last = latest(last, l.users.get(who.User), kind, room)
	}
	if in := l.lengths.Load(); in != nil {
		last = l.findAddress(last, who.Address, in, kind, room)
	}
	if last == nil {
		return nil
	}
	return &last.Sanction
}

func (l *List) findAddress(last *entry, address string, in *lengths, kind Kind, room string) *entry {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return last
	}
	addr = addr.Unmap().WithZone("")
	bits := in.v4
	if addr.Is6() {
		bits = in.v6
	}
	for _, n := range bits {
		network, _ := addr.Prefix(n) // fails for no length of the address's family
		last = latest(last, l.networks.get(network), kind, room)
	}
	return last
}

// latest returns the sanction of last and entries that holds and ends last.
func latest(last *entry, entries []*entry, kind Kind, room string) *entry {
	for _, e := range entries {
		switch {
		case e.Kind != kind, e.rooms != nil && (room == "" || !e.rooms.Match(room)), e.Until != 0 && e.Ended(time.Now()):
		case last == nil, e.Until == 0, last.Until != 0 && e.Until > last.Until:
			last = e
		}
	}
	return last
}

// Len returns the number of sanctions, including those that have ended and were not removed.
func (l *List) Len() int { return int(l.count.Load()) }

// Set adds a sanction, or replaces the one with its ID unless that is newer. It ignores a
// sanction with an invalid pattern.
func (l *List) Set(s Sanction) {
	e := &entry{Sanction: s}
	if s.Rooms != AllRooms {
		var err error
		if e.rooms, err = glob.Compile(s.Rooms); err != nil {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.byID[s.ID]
	switch {
	case old == nil:
		l.add(e)
	case old.At <= s.At:
		l.replace(old, e)
	}
}

// replace replaces an entry by one with the same ID, and therefore the same subject. One of the two holds
// at each moment. The caller holds mu.
func (l *List) replace(old, e *entry) {
	l.byID[e.ID] = e
	if e.User != "" {
		l.users.replace(e.User, old, e)
	} else {
		l.networks.replace(e.Network, old, e)
	}
}

// Remove removes the sanction with that ID, if there is one.
func (l *List) Remove(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		l.remove(e)
	}
}

// Replace makes the sanctions those of all. A sanction that is in both does not cease to hold.
func (l *List) Replace(all []Sanction) {
	wanted := make(map[string]bool, len(all))
	for i := range all {
		wanted[all[i].ID] = true
		l.Set(all[i])
	}
	l.removeIf(func(e *entry) bool { return !wanted[e.ID] })
}

// Sweep removes the sanctions that have ended.
func (l *List) Sweep(now time.Time) {
	l.removeIf(func(e *entry) bool { return e.Ended(now) })
}

func (l *List) removeIf(drop func(*entry) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Collect(maps.Values(l.byID)) {
		if drop(e) {
			l.remove(e)
		}
	}
}

// add adds an entry whose ID the list does not have. The caller holds mu.
func (l *List) add(e *entry) {
	if l.byID == nil {
		l.byID = map[string]*entry{}
	}
	l.byID[e.ID] = e
	if e.User != "" {
		l.users.add(e.User, e)
	} else {
		l.networks.add(e.Network, e)
		l.countLength(e.Network, 1)
	}
	l.count.Store(int64(len(l.byID)))
}

// remove removes an entry of the list. The caller holds mu.
func (l *List) remove(e *entry) {
	delete(l.byID, e.ID)
	if e.User != "" {
		l.users.remove(e.User, e)
	} else {
		l.networks.remove(e.Network, e)
		l.countLength(e.Network, -1)
	}
	l.count.Store(int64(len(l.byID)))
}

// countLength counts a network. The caller holds mu.
func (l *List) countLength(network netip.Prefix, n int) {
	counts := l.v6[:]
	if network.Addr().Is4() {
		counts = l.v4[:]
	}
	old := counts[network.Bits()]
	counts[network.Bits()] += n
	if (old == 0) == (old+n == 0) {
		return
	}
	next := &lengths{present(l.v4[:]), present(l.v6[:])}
	if len(next.v4)+len(next.v6) == 0 {
		next = nil
	}
	l.lengths.Store(next)
}

func present(counts []int) (lengths []int) {
	for length, n := range counts {
		if n > 0 {
			lengths = append(lengths, length)
		}
	}
	return lengths
}
