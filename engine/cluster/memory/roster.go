package memory

import (
	"cmp"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// roster has the members of a room, in the order of joining. The seat of a removed member stays
// empty, so that the others keep their seats and a binary search finds a page. A roster with
// mostly empty seats is compacted. A nil roster reads as an empty one. The directory's lock
// guards it.
type roster struct {
	seats []seat
	byID  map[string]uint64 // number of each member's seat
}

// seat is a place in a room. Numbers begin with 1, increase and are never used twice, so that a
// number is a valid cursor even if its member has left.
type seat struct {
	number  uint64
	by      *process // nil: empty
	parting bool     // leave is running
	member  cluster.MemberRecord
}

func (r *roster) len() int {
	if r == nil {
		return 0
	}
	return len(r.byID)
}

// add gives a member a seat. A member with a seat keeps it, is no longer leaving, and belongs to
// the process of s from now on. A new user replaces the user and the profile. It returns the users
// before and now; "": none.
func (r *roster) add(s seat) (was, now string) {
	if number, ok := r.byID[s.member.ID]; ok {
		i, _ := r.find(number)
		r.seats[i].by, r.seats[i].parting = s.by, false
		had := &r.seats[i].member
		was = had.User
		if s.member.User != "" && had.User != s.member.User {
			had.User, had.Profile = s.member.User, s.member.Profile
		}
		return was, had.User
	}
	r.byID[s.member.ID] = s.number
	r.seats = append(r.seats, s)
	return "", s.member.User
}

// part marks a member as leaving. It reports false if the process has no such member.
func (r *roster) part(id string, by *process) bool {
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

// leave removes a member of the process, and returns the user; "": none.
func (r *roster) leave(id string, by *process) (user string) {
	if number, ok := r.byID[id]; ok {
		if i, _ := r.find(number); r.seats[i].by == by {
			user = r.seats[i].member.User
			r.remove(id)
		}
	}
	return user
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
		r.compact()
	}
}

// find returns the index of the seat with the number, or else of the next seat.
func (r *roster) find(number uint64) (i int, found bool) {
	return slices.BinarySearchFunc(r.seats, number, func(s seat, n uint64) int { return cmp.Compare(s.number, n) })
}

// compact removes the empty seats.
func (r *roster) compact() {
	seats := make([]seat, 0, len(r.byID))
	for _, s := range r.seats {
		if s.by != nil {
			seats = append(seats, s)
		}
	}
	r.seats = seats
}

// page returns at most limit members with numbers above after, and the number of the last of
// them, or 0 if no member follows.
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
		page, last = append(page, cluster.MemberRecord{ID: s.member.ID, JoinedAt: s.member.JoinedAt, User: s.member.User}), s.number
	}
	return page, 0
}

// removeAllOf removes the members of a process. It returns those that were not leaving, and the users of all
// removed members, once for each member.
func (r *roster) removeAllOf(by *process) (members []cluster.MemberRecord, users []string) {
	var ids []string
	for _, s := range r.seats {
		if s.by != by {
			continue
		}
		ids = append(ids, s.member.ID)
		if s.member.User != "" {
			users = append(users, s.member.User)
		}
		if !s.parting {
			members = append(members, s.member)
		}
	}
	for _, id := range ids {
		r.remove(id)
	}
	return members, users
}
