package moderation

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// List holds the sanctions of a tenant on a node. Find may run concurrently with changes and
// with itself: it takes no lock and allocates nothing. The zero List is empty.
type List struct {
	count    atomic.Int64
	version  atomic.Uint64 // see Version
	users    table[string]
	networks table[netip.Prefix]
	lengths  atomic.Pointer[lengths] // nil: no networks

	mu   sync.Mutex // serializes changes
	byID map[string]*entry
	full int     // number of sanctions at which Set removes those that have ended
	v4   [33]int // number of networks of each length
	v6   [129]int
}

// lengths are the lengths of the networks in a list.
type lengths struct{ v4, v6 []int }

// entry is a sanction in a list. It is immutable.
type entry struct {
	Sanction
	rooms rooms
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
	if in := l.lengths.Load(); in != nil && who.Address != "" {
		last = l.findAddress(last, who.Address, in, kind, room)
	}
	if last == nil {
		return nil
	}
	return &last.Sanction
}

// Any reports whether the list has sanctions of the client, of any kind and in any room. It costs as much as one Find.
func (l *List) Any(who Client) bool {
	if l.count.Load() == 0 {
		return false
	}
	if who.User != "" && len(l.users.get(who.User)) > 0 {
		return true
	}
	in := l.lengths.Load()
	return in != nil && who.Address != "" && l.findAddress(nil, who.Address, in, anyKind, "") != nil
}

// anyKind makes latest return an entry of any kind and room.
const anyKind Kind = ""

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
		case kind == anyKind:
			return e
		case e.Kind != kind, !e.holdsIn(room), e.Until != 0 && e.Ended(time.Now()):
		case last == nil, e.Until == 0, last.Until != 0 && e.Until > last.Until:
			last = e
		}
	}
	return last
}

// holdsIn reports whether the sanction holds in the room. Room "" stands for all rooms.
func (e *entry) holdsIn(room string) bool {
	return e.Rooms == AllRooms || room != "" && e.rooms.match(room)
}

// Len returns the number of sanctions, including those that have ended and were not removed.
func (l *List) Len() int { return int(l.count.Load()) }

// Version returns a number that is another one after each change of the list. A client of which [List.Any] was false has
// no sanctions while the number, read before Any was called, stays the same.
func (l *List) Version() uint64 { return l.version.Load() }

// endChange ends a change, which a caller of Any sees before it sees the new version.
func (l *List) endChange() {
	l.version.Add(1)
	l.mu.Unlock()
}

// Set adds a sanction, or replaces the one with its ID unless that is newer. It ignores a
// sanction with an invalid pattern. The list has at most twice as many sanctions as hold, and minSweep.
func (l *List) Set(s Sanction) {
	e := entryOf(s)
	if e == nil {
		return
	}
	l.mu.Lock()
	defer l.endChange()
	l.put(e)
}

// Override is Set for a sanction that the store does not have yet. It replaces the one with its ID,
// and any version of the store replaces it.
func (l *List) Override(s Sanction) {
	e := entryOf(s)
	if e == nil {
		return
	}
	l.mu.Lock()
	defer l.endChange()
	e.At = 0
	if old := l.byID[s.ID]; old != nil {
		e.At = old.At
	}
	l.put(e)
}

// put adds an entry, or replaces the one with its ID unless that is newer. The caller holds mu.
func (l *List) put(e *entry) {
	old := l.byID[e.ID]
	switch {
	case old == nil:
		l.add(e)
	case old.At <= e.At:
		l.replace(old, e)
	}
	if len(l.byID) >= max(l.full, minSweep) {
		l.sweep(time.Now())
		l.full = 2 * len(l.byID)
	}
}

// minSweep is the number of sanctions below which those that have ended are not removed.
const minSweep = 64

// entryOf returns the entry of a sanction, without its note; nil if the pattern is invalid.
func entryOf(s Sanction) *entry {
	parsed, err := parseRooms(s.Rooms)
	if err != nil {
		return nil
	}
	s.Note = ""
	return &entry{s, parsed}
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
	defer l.endChange()
	if e := l.byID[id]; e != nil {
		l.remove(e)
	}
}

// Replace makes the sanctions those of all, except that a newer one with the same ID stays. A sanction that is
// in both does not cease to hold.
func (l *List) Replace(all []Sanction) {
	byID := make(map[string]*entry, len(all))
	for i := range all {
		if e := entryOf(all[i]); e != nil {
			byID[e.ID] = e
		}
	}
	l.mu.Lock()
	defer l.endChange()
	for id, e := range byID {
		if old := l.byID[id]; old != nil && old.At > e.At {
			byID[id] = old
		}
	}
	l.setAll(byID)
}

// sweep removes the sanctions that have ended. The caller holds mu.
func (l *List) sweep(now time.Time) {
	byID := maps.Clone(l.byID)
	maps.DeleteFunc(byID, func(_ string, e *entry) bool { return e.Ended(now) })
	if len(byID) < len(l.byID) {
		l.setAll(byID)
	}
}

// setAll makes the entries of byID those of the list. Each map of the tables is made once: the cost is
// O(len(byID)). The caller holds mu.
func (l *List) setAll(byID map[string]*entry) {
	users, networks := map[string][]*entry{}, map[netip.Prefix][]*entry{}
	l.v4, l.v6 = [33]int{}, [129]int{}
	for _, e := range byID {
		if e.User != "" {
			users[e.User] = append(users[e.User], e)
			continue
		}
		networks[e.Network] = append(networks[e.Network], e)
		l.counts(e.Network)[e.Network.Bits()]++
	}
	l.byID = byID
	l.count.Store(max(l.count.Load(), int64(len(byID)))) // Find looks at the tables while they change
	l.users.setAll(users)
	l.networks.setAll(networks)
	l.storeLengths()
	l.count.Store(int64(len(byID)))
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

// counts returns the numbers of networks of the address family. The caller holds mu.
func (l *List) counts(network netip.Prefix) []int {
	if network.Addr().Is4() {
		return l.v4[:]
	}
	return l.v6[:]
}

// countLength counts a network. The caller holds mu.
func (l *List) countLength(network netip.Prefix, n int) {
	counts := l.counts(network)
	old := counts[network.Bits()]
	counts[network.Bits()] += n
	if (old == 0) != (old+n == 0) {
		l.storeLengths()
	}
}

// storeLengths makes Find look at the lengths of the networks in the list. The caller holds mu.
func (l *List) storeLengths() {
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
