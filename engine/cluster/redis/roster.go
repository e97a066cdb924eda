package redis

import (
	"maps"
	"slices"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
)

// roster has the members that this node has recorded, or must record.
type roster struct {
	// settled is held for reading while one member is recorded or removed, and for writing while
	// many are recorded again, so that a member that leaves at that time is not recorded. It is
	// the only lock that is held during calls of Redis, which all have a deadline.
	settled sync.RWMutex

	mu      sync.Mutex
	members map[cluster.RoomID]map[string]*seat
	stale   map[place]struct{} // members whose last change may not have reached Redis

	letting map[place]struct{} // members that Lost received and that are not removed yet
}

// seat is a member of a room.
type seat struct {
	room    cluster.RoomID
	member  cluster.MemberRecord
	parting bool // leave is running

	recorded  bool // Redis has the member, and its user is to be announced
	announced bool // the user was announced after that
}

// place is a room and the id of a present or former member.
type place struct {
	room cluster.RoomID
	id   string
}

func (r *roster) init() {
	r.members, r.stale, r.letting = map[cluster.RoomID]map[string]*seat{}, map[place]struct{}{}, map[place]struct{}{}
}

// add adds a member that is not leaving. It reports false if the member existed.
func (r *roster) add(room cluster.RoomID, m cluster.MemberRecord) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.members[room] == nil {
		r.members[room] = map[string]*seat{}
	}
	if s, ok := r.members[room][m.ID]; ok {
		s.parting = false
		if m.User != "" && s.member.User != m.User {
			s.member.User, s.member.Profile = m.User, m.Profile
			s.recorded, s.announced = false, false
		}
		s.member.Announce = s.member.Announce || m.Announce
		return false
	}
	r.members[room][m.ID] = &seat{room: room, member: m}
	return true
}

// markRecorded notes that Redis has a member whose user is to be announced.
func (r *roster) markRecorded(room cluster.RoomID, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[room][id]; s != nil {
		s.recorded = true
	}
}

// unannounced returns the recorded members of a room whose users may not have been announced.
func (r *roster) unannounced(room cluster.RoomID) (all []*seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.members[room] {
		if s.recorded && !s.announced {
			all = append(all, s)
		}
	}
	return all
}

// markAnnounced notes that the users of recorded members were announced.
func (r *roster) markAnnounced(all []*seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range all {
		s.announced = s.recorded
	}
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

// markStale records that a change of a member may not have reached Redis.
func (r *roster) markStale(room cluster.RoomID, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale[place{room, id}] = struct{}{}
}

// hasStale reports whether any place is stale.
func (r *roster) hasStale() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.stale) > 0
}

// takeStale returns the stale places of the partition and clears their marks.
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

// at returns a copy of the seat. It reports false if the seat is empty.
func (r *roster) at(at place) (seat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.members[at.room][at.id]; s != nil {
		return *s, true
	}
	return seat{}, false
}

// rooms returns the rooms with members.
func (r *roster) rooms() []cluster.RoomID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.members))
}

// in returns the members of the partition's rooms that are not leaving.
func (r *roster) in(p *partition) []seat {
	all, _ := r.of(p)
	return all
}

// isParting reports whether a member of a partition has begun to leave.
func (r *roster) isParting(p *partition) bool {
	_, parting := r.of(p)
	return parting
}

// of returns the members of a partition that have not begun to leave, and whether others have.
func (r *roster) of(p *partition) (all []seat, parting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, members := range r.members {
		if q, _ := p.n.at(room); q != p {
			continue
		}
		for _, s := range members {
			if parting = parting || s.parting; !s.parting {
				all = append(all, *s)
			}
		}
	}
	return all, parting
}

// let records the members that Lost receives.
func (r *roster) let(members map[cluster.RoomID][]cluster.MemberRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, list := range members {
		for _, m := range list {
			r.letting[place{room, m.ID}] = struct{}{}
		}
	}
}

// isLetting reports whether Lost received a member and has not removed it.
func (r *roster) isLetting(room cluster.RoomID, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.letting[place{room, id}]
	return ok
}

// release records that a member which Lost received is removed. It reports false if Lost did not
// receive the member.
func (r *roster) release(room cluster.RoomID, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.letting[place{room, id}]
	delete(r.letting, place{room, id})
	return ok
}

// unfinished returns the members that Lost received and has not removed.
func (r *roster) unfinished() []place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.letting))
}
