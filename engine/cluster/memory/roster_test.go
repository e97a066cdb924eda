package memory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

// TestRosterIsAList checks that random operations on a roster have the same results as on a plain
// list.
func TestRosterIsAList(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		r, by := &roster{byID: map[string]uint64{}}, []*process{{}, {}}
		var list []seat
		for number := uint64(1); number <= 3000; number++ {
			id := fmt.Sprint(random.IntN(200))
			i := slices.IndexFunc(list, func(s seat) bool { return s.member.ID == id })
			switch random.IntN(5) {
			case 0, 1:
				s := seat{number: number, by: by[random.IntN(2)], member: cluster.MemberRecord{ID: id, JoinedAt: int64(number)}}
				r.add(s)
				if i < 0 {
					list = append(list, s)
				} else {
					list[i].by = s.by
				}
			case 2, 3:
				whose := by[random.IntN(2)]
				r.leave(id, whose)
				if i >= 0 && list[i].by == whose {
					list = slices.Delete(list, i, i+1)
				}
			case 4:
				comparePage(t, r, list, random.Uint64N(number+10), 1+random.IntN(20))
			}
			if r.len() != len(list) {
				t.Fatalf("%d members, want %d", r.len(), len(list))
			}
			if len(r.seats) > 2*len(list)+16 {
				t.Fatalf("%d seats for %d members", len(r.seats), len(list))
			}
		}
		lost := slices.DeleteFunc(slices.Clone(list), func(s seat) bool { return s.by != by[0] })
		if got, _ := r.removeAllOf(by[0]); len(got) != len(lost) || r.len() != len(list)-len(lost) {
			t.Fatalf("harvested %d and left %d, want %d of %d", len(got), r.len(), len(lost), len(list))
		}
	}
}

func comparePage(t *testing.T, r *roster, list []seat, after uint64, limit int) {
	t.Helper()
	rest := slices.DeleteFunc(slices.Clone(list), func(s seat) bool { return s.number <= after })
	var next uint64
	if len(rest) > limit {
		rest = rest[:limit]
		next = rest[limit-1].number
	}
	page, last := r.page(after, limit)
	same := slices.EqualFunc(page, rest, func(m cluster.MemberRecord, s seat) bool {
		return m.ID == s.member.ID && m.JoinedAt == s.member.JoinedAt
	})
	if !same || last != next {
		t.Fatalf("page after %d of %d: %v and %d, want %v and %d", after, limit, page, last, rest, next)
	}
}
