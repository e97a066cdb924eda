package redis

import (
	"maps"
	"slices"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
)

// roster is what this node has on record, or should have.
type roster struct {
	// settled is held for reading while Redis is told of one member, and for
	// writing while it is told of many again: so that nobody who leaves meanwhile
	// is put back. It is the one lock that is held over calls of Redis; each is
	// bounded in time.
	settled sync.RWMutex

	mu      sync.Mutex
	members map[cluster.RoomID]map[string]*seat
	stale   map[place]struct{} // those of whom Redis may think otherwise

	letting map[place]struct{} // members that were passed to Lost and are not removed yet
}

// seat is a member and his room.
type seat struct {
	room    cluster.RoomID
	member  cluster.MemberRecord
	parting bool // leave is being run
}

// place is where someone is a member, or was.
type place struct {
	room cluster.RoomID
	id   string
}

func (r *roster) init() {
	r.members, r.stale, r.letting = map[cluster.RoomID]map[string]*seat{}, map[place]struct{}{}, map[place]struct{}{}
}

// add returns false if the member is there. He parts no more.
func (r *roster) add(room cluster.RoomID, m cluster.MemberRecord) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[room] == nil {
		r.members[room] = map[string]*seat{}
	}
	if s, ok := r.members[room][m.ID]; ok {
		s.parting = false
		return false
	}
	r.members[room][m.ID] = &seat{room: room, member: m}
	return true
}

func (r *roster) part(room cluster.RoomID, id string, parting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[room][id]; s != nil {
		s.parting = parting
	}
}

func (r *roster) remove(room cluster.RoomID, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members[room], id)
	if len(r.members[room]) == 0 {
		delete(r.members, room)
	}
}

// markStale notes that Redis is to be told once more how it stands with a member.
func (r *roster) markStale(room cluster.RoomID, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale[place{room, id}] = struct{}{}
}

// hasStale says whether anything is stale.
func (r *roster) hasStale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.stale) > 0
}

// takeStale gives the places in the partition of which Redis is to be told. They are
// stale no more.
func (r *roster) takeStale(p *partition) []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []place
	for at := range r.stale {
		if q, _ := p.n.at(at.room); q == p {
			delete(r.stale, at)
			all = append(all, at)
		}
	}
	return all
}

// at gives a copy of the seat; false if nobody sits there.
func (r *roster) at(at place) (seat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[at.room][at.id]; s != nil {
		return *s, true
	}
	return seat{}, false
}

// rooms are those that have members.
func (r *roster) rooms() []cluster.RoomID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.members))
}

// in gives the members of the partition's rooms who do not part.
func (r *roster) in(p *partition) []seat {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []seat
	for room, members := range r.members {
		if q, _ := p.n.at(room); q != p {
			continue
		}
		for _, s := range members {
			if !s.parting {
				all = append(all, *s)
			}
		}
	}
	return all
}

// let notes whom Lost is given.
func (r *roster) let(members map[cluster.RoomID][]cluster.MemberRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, list := range members {
		for _, m := range list {
			r.letting[place{room, m.ID}] = struct{}{}
		}
	}
}

// isLetting reports whether Lost was given a member and has not removed it.
func (r *roster) isLetting(room cluster.RoomID, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.letting[place{room, id}]
	return ok
}

// release notes that Lost has done with a member; false if it was not given him.
func (r *roster) release(room cluster.RoomID, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.letting[place{room, id}]
	delete(r.letting, place{room, id})
	return ok
}

// unfinished gives those whom Lost was given and has not removed.
func (r *roster) unfinished() []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.letting))
}
