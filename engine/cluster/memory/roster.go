package memory

import (
	"cmp"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// roster is who is in a room, in the order of joining. Who leaves leaves an empty
// seat, so that the others keep their place and a page is found by halving; when
// most seats are empty, those taken move together. A nil roster is an empty one
// to read. The directory's lock guards it.
type roster struct {
	seats []seat
	byID  map[string]uint64 // the number of the seat
}

// seat is a place in a room. Numbers go up from 1 and are not given twice, so
// that one is a cursor too: it means the same after any coming and going.
type seat struct {
	number  uint64
	by      *session // nil: empty
	parting bool     // leave is being run
	member  cluster.MemberRecord
}

func (r *roster) len() int {
	if r == nil {
		return 0
	}
	return len(r.byID)
}

// add takes a seat for a member; who has one keeps it, and does not part. One of
// another session is this one's now.
func (r *roster) add(s seat) {
	if number, ok := r.byID[s.member.ID]; ok {
		i, _ := r.find(number)
		r.seats[i].by, r.seats[i].parting = s.by, false
		return
	}
	r.byID[s.member.ID] = s.number
	r.seats = append(r.seats, s)
}

// part marks a member of the session; false if it has no such member.
func (r *roster) part(id string, by *session) bool {
	number, ok := r.byID[id]
	if !ok {
		return false
	}
	i, _ := r.find(number)
	if r.seats[i].by != by {
		return false
	}
	r.seats[i].parting = true
	return true
}

// leave removes a member of the session.
func (r *roster) leave(id string, by *session) {
	if number, ok := r.byID[id]; ok {
		if i, _ := r.find(number); r.seats[i].by == by {
			r.remove(id)
		}
	}
}

func (r *roster) remove(id string) {
	number, ok := r.byID[id]
	if !ok {
		return
	}
	i, _ := r.find(number)
	r.seats[i] = seat{number: number}
	delete(r.byID, id)
	if len(r.seats) > 2*len(r.byID)+16 {
		r.gather()
	}
}

// find gives the index of the seat with that number; if there is none, that of
// the next one.
func (r *roster) find(number uint64) (i int, found bool) {
	return slices.BinarySearchFunc(r.seats, number, func(s seat, n uint64) int { return cmp.Compare(s.number, n) })
}

// gather moves those seated together, into no more memory than they need.
func (r *roster) gather() {
	seats := make([]seat, 0, len(r.byID))
	for _, s := range r.seats {
		if s.by != nil {
			seats = append(seats, s)
		}
	}
	r.seats = seats
}

// page gives at most limit members with numbers above after, and the number of
// the last of them, 0 if nobody comes after.
func (r *roster) page(after uint64, limit int) ([]cluster.MemberRecord, uint64) {
	if r == nil {
		return nil, 0
	}
	page := make([]cluster.MemberRecord, 0, min(limit, r.len()))
	i, found := r.find(after)
	if found {
		i++
	}
	var last uint64
	for _, s := range r.seats[i:] {
		if s.by == nil {
			continue
		}
		if len(page) == limit {
			return page, last
		}
		page, last = append(page, cluster.MemberRecord{ID: s.member.ID, JoinedAt: s.member.JoinedAt}), s.number
	}
	return page, 0
}

// harvest takes out all whom the session added, and gives those who were not
// parting.
func (r *roster) harvest(by *session) []cluster.MemberRecord {
	var members []cluster.MemberRecord
	var ids []string
	for _, s := range r.seats {
		if s.by != by {
			continue
		}
		ids = append(ids, s.member.ID)
		if !s.parting {
			members = append(members, s.member)
		}
	}
	for _, id := range ids {
		r.remove(id)
	}
	return members
}
