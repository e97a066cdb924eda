package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
)

func presence() []promise {
	return []promise{
		{"MemberNeedsRoom", memberNeedsRoom},
		{"MemberIsThereOnceFromAddToRemove", memberIsThereOnce},
		{"MemberGoesFromNodeToNode", memberGoesFromNodeToNode},
		{"MembersAreTheSameFromEveryNode", membersAreTheSameFromEveryNode},
		{"MembersOfAnyRoomAreApart", membersOfAnyRoomAreApart},
		{"MembersStayOnRecordWhenTheirRoomIsDestroyed", membersOutliveRoom},
		{"MembersHaveUsers", membersHaveUsers},
		{"UsersAreCounted", usersAreCounted},
		{"UsersAreAnnouncedOnce", usersAreAnnouncedOnce},
		{"UsersOfTwoNodesAreAnnouncedOnce", usersOfTwoNodes},
		{"UsersOfADeadNodeAreAnnounced", usersOfADeadNode},
		{"UsersThatADeadNodeDidNotAnnounceAreAnnounced", unannouncedUsersOfADeadNode},
		{"AnnouncementThatFailedIsRepeated", failedAnnouncement},
		{"PagesHoldEveryMemberOnce", pagesHoldEveryMemberOnce},
		{"PagesHoldWhoStaysOnceWhileOthersComeAndGo", pagesHoldWhoStays},
		{"PageNeedsLimitAndCursor", pageNeedsLimitAndCursor},
	}
}

// member returns the i-th member of a node, as an engine would record it.
func (p *peer) member(i int) cluster.MemberRecord {
	id := fmt.Sprintf("%s-%06d", p.name, i)
	return cluster.MemberRecord{ID: id, JoinedAt: 1_700_000_000_000 + int64(i), Profile: json.RawMessage(fmt.Sprintf(`{"id":%q,"quack":"\u00e4\ud83e\udd86"}`, id))}
}

func (w *world) count(p *peer, room cluster.RoomID, want int) {
	w.Helper()
	got, err := p.Presence.Count(w.ctx, room)
	w.must(err)
	many, err := p.Presence.Counts(w.ctx, []cluster.RoomID{{Tenant: room.Tenant, Room: "none"}, room})
	w.must(err)
	if !slices.Equal(many, []int{0, got}) {
		w.Errorf("counted %v of no room and of one with %d members", many, got)
	}
	if got != want {
		w.Errorf("%s counts %d in %q, want %d", p.name, got, room, want)
	}
}

// walk reads all pages of a room's members.
func (w *world) walk(p *peer, room cluster.RoomID, limit int) []cluster.MemberRecord {
	w.Helper()
	var all []cluster.MemberRecord
	for cursor := ""; ; {
		page, next, err := p.Presence.Members(w.ctx, room, cursor, limit)
		w.must(err)
		if len(page) > limit {
			w.Fatalf("a page of %d members, and the limit is %d", len(page), limit)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if next == cursor {
			w.Fatalf("after cursor %q comes cursor %q", cursor, next)
		}
		cursor = next
	}
}

// found fails the test unless got has each of want once, in any order.
func (w *world) found(got []cluster.MemberRecord, want ...cluster.MemberRecord) {
	w.Helper()
	seen := map[string]cluster.MemberRecord{}
	for _, m := range got {
		if _, twice := seen[m.ID]; twice {
			w.Fatalf("%s was found twice", m.ID)
		}
		seen[m.ID] = m
	}
	for _, m := range want {
		f, ok := seen[m.ID]
		if !ok {
			w.Fatalf("%s was not found among %d", m.ID, len(got))
		}
		if f.JoinedAt != m.JoinedAt || f.User != m.User || f.Profile != nil {
			w.Fatalf("found %+v, want %+v without its profile", f, m)
		}
	}
	if len(got) != len(want) {
		w.Fatalf("found %d members, want %d", len(got), len(want))
	}
}

func memberNeedsRoom(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	m := peers[0].member(1)
	w.mustBe("add to no room", peers[0].Presence.Add(w.ctx, hall, m), cluster.ErrNoRoom)
	w.count(peers[0], hall, 0)
	w.found(w.walk(peers[0], hall, 10))
	w.must(peers[0].Presence.Remove(w.ctx, hall, m.ID))

	w.create(peers[1], hall)
	w.must(peers[0].Presence.Add(w.ctx, hall, m))
	w.must(peers[0].Presence.Remove(w.ctx, hall, m.ID))
	w.must(peers[1].Rooms.Destroy(w.ctx, hall))
	w.mustBe("add to a destroyed room", peers[0].Presence.Add(w.ctx, hall, m), cluster.ErrNoRoom)
	w.count(peers[0], hall, 0)
}

func memberIsThereOnce(w *world) {
	p, hall := w.node("a"), room("hall")
	w.create(p, hall)
	first, again := p.member(1), p.member(1)
	again.JoinedAt, again.Profile = 5, json.RawMessage(`{}`)
	for range 2 { // a member that has left can come back
		w.must(p.Presence.Add(w.ctx, hall, first))
		w.must(p.Presence.Add(w.ctx, hall, again))
		w.count(p, hall, 1)
		w.found(w.walk(p, hall, 10), first)
		w.must(p.Presence.Remove(w.ctx, hall, "a-none"))
		w.count(p, hall, 1)
		w.must(p.Presence.Remove(w.ctx, hall, first.ID))
		w.must(p.Presence.Remove(w.ctx, hall, first.ID))
		w.count(p, hall, 0)
		w.found(w.walk(p, hall, 10))
	}
	w.together(8, func(int) error { return p.Presence.Add(w.ctx, hall, first) })
	w.count(p, hall, 1)
	w.found(w.walk(p, hall, 10), first)
}

// membersHaveUsers checks that pages have the users of members, that a later Add sets the user, and
// that a survivor receives it with the profile.
func membersHaveUsers(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.create(peers[0], hall)
	named, late, guest, odd := peers[0].member(1), peers[0].member(2), peers[1].member(3), peers[0].member(4)
	named.User, odd.User, odd.Profile = "ann", "\"\\/ü\x01", nil
	for _, m := range []cluster.MemberRecord{named, late, odd} {
		w.must(peers[0].Presence.Add(w.ctx, hall, m))
	}
	w.must(peers[1].Presence.Add(w.ctx, hall, guest))
	w.found(w.walk(peers[1], hall, 2), named, late, guest, odd)
	joined := late.JoinedAt
	late.User, late.JoinedAt, late.Profile = "bob", 5, json.RawMessage(`{"user":"bob"}`)
	w.must(peers[0].Presence.Add(w.ctx, hall, late))
	late.JoinedAt = joined
	w.found(w.walk(peers[1], hall, 10), named, late, guest, odd)
	w.kill(peers[0])
	var want []member
	for _, m := range []cluster.MemberRecord{named, late, odd} {
		want = append(want, member{hall, m.ID, m.JoinedAt, m.User, string(m.Profile)})
	}
	w.awaitHandOver(peers[1:], want)
	w.counts(peers[1:], []cluster.RoomID{hall}, 1)
}

// memberGoesFromNodeToNode checks that a member that another node has added stays when the first
// node removes it, and is removed when the other node removes it.
func memberGoesFromNodeToNode(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.create(peers[0], hall)
	m := peers[0].member(1)
	w.must(peers[0].Presence.Add(w.ctx, hall, m))
	w.must(peers[1].Presence.Add(w.ctx, hall, m))
	w.must(peers[0].Presence.Remove(w.ctx, hall, m.ID))
	w.must(peers[0].Presence.Remove(w.ctx, hall, m.ID))
	for _, p := range peers {
		w.count(p, hall, 1)
		w.found(w.walk(p, hall, 10), m)
	}
	w.must(peers[1].Presence.Remove(w.ctx, hall, m.ID))
	w.count(peers[2], hall, 0)
}

func membersAreTheSameFromEveryNode(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.create(peers[0], hall)
	var want []cluster.MemberRecord
	for i := range 30 {
		p := peers[i%3]
		want = append(want, p.member(i))
		w.must(p.Presence.Add(w.ctx, hall, want[i]))
	}
	for _, p := range peers {
		w.count(p, hall, 30)
		w.found(w.walk(p, hall, 100), want...)
	}
	w.must(peers[0].Presence.Remove(w.ctx, hall, want[0].ID))
	for _, p := range peers {
		w.count(p, hall, 29)
		w.found(w.walk(p, hall, 100), want[1:]...)
	}
}

func membersOfAnyRoomAreApart(w *world) {
	p := w.node("a")
	for i, r := range oddRooms() {
		w.create(p, r)
		w.must(p.Presence.Add(w.ctx, r, p.member(0)))
		w.must(p.Presence.Add(w.ctx, r, p.member(i+1)))
	}
	for i, r := range oddRooms() {
		w.count(p, r, 2)
		w.found(w.walk(p, r, 10), p.member(0), p.member(i+1))
		w.must(p.Presence.Remove(w.ctx, r, p.member(0).ID))
	}
	for i, r := range oddRooms() {
		w.found(w.walk(p, r, 10), p.member(i+1))
	}
}

func membersOutliveRoom(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.create(peers[0], hall)
	m := peers[0].member(1)
	w.must(peers[0].Presence.Add(w.ctx, hall, m))
	w.must(peers[1].Rooms.Destroy(w.ctx, hall))
	w.count(peers[1], hall, 1)
	w.found(w.walk(peers[1], hall, 10), m)
	w.mustBe("add to a destroyed room", peers[0].Presence.Add(w.ctx, hall, peers[0].member(2)), cluster.ErrNoRoom)
	w.must(peers[0].Presence.Remove(w.ctx, hall, m.ID))
	w.count(peers[1], hall, 0)
}

func pagesHoldEveryMemberOnce(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.create(peers[0], hall)
	want := make([]cluster.MemberRecord, w.fixture.Crowd)
	const workers = 16
	crowd := func(do func(p *peer, i int) error) {
		w.Helper()
		w.together(workers, func(k int) error {
			for i := k; i < len(want); i += workers {
				if err := do(peers[i%3], i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	crowd(func(p *peer, i int) error {
		want[i] = p.member(i)
		return p.Presence.Add(w.ctx, hall, want[i])
	})
	for _, p := range peers {
		w.count(p, hall, len(want))
	}
	for i, limit := range []int{1, 7, 1000, len(want), len(want) + 1} {
		w.found(w.walk(peers[i%3], hall, limit), want...)
	}
	crowd(func(p *peer, i int) error {
		if i%10 == 0 {
			return nil
		}
		return p.Presence.Remove(w.ctx, hall, want[i].ID)
	})
	var stayed []cluster.MemberRecord
	for i := 0; i < len(want); i += 10 {
		stayed = append(stayed, want[i])
	}
	w.count(peers[1], hall, len(stayed))
	w.found(w.walk(peers[2], hall, 7), stayed...)
}

// pagesHoldWhoStays checks that the pages of a room have each member that stays, while other
// members join and leave on every node, before, between and after those that stay.
func pagesHoldWhoStays(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.create(peers[0], hall)
	var stay []cluster.MemberRecord
	for i := range 300 {
		p := peers[i%3]
		passer := p.member(10_000 + i)
		w.must(p.Presence.Add(w.ctx, hall, passer))
		stay = append(stay, p.member(i))
		w.must(p.Presence.Add(w.ctx, hall, stay[i]))
	}
	over := make(chan struct{})
	var churn sync.WaitGroup
	failed := make(chan error, 6)
	for k := range 6 {
		churn.Go(func() { failed <- w.churn(peers[k%3], hall, k, over) })
	}
	for walk := range 20 {
		seen := w.walk(peers[walk%3], hall, []int{1, 7, 50}[walk%3])
		seen = slices.DeleteFunc(seen, func(m cluster.MemberRecord) bool { return m.JoinedAt >= stay[0].JoinedAt+10_000 })
		w.found(seen, stay...)
	}
	close(over)
	churn.Wait()
	for range 6 {
		w.must(<-failed)
	}
}

// churn makes passing members of a node leave and come back until over is closed.
func (w *world) churn(p *peer, room cluster.RoomID, k int, over <-chan struct{}) error {
	for {
		for i := k; i < 300; i += 6 {
			select {
			case <-over:
				return nil
			default:
			}
			m := p.member(10_000 + i)
			if err := p.Presence.Remove(w.ctx, room, m.ID); err != nil {
				return err
			}
			if i%2 == 0 {
				continue // it comes back in the next round
			}
			if err := p.Presence.Add(w.ctx, room, m); err != nil {
				return err
			}
		}
		for i := k; i < 300; i += 6 {
			if err := p.Presence.Add(w.ctx, room, p.member(10_000+i)); err != nil {
				return err
			}
		}
	}
}

func pageNeedsLimitAndCursor(w *world) {
	p, hall := w.node("a"), room("hall")
	w.create(p, hall)
	w.must(p.Presence.Add(w.ctx, hall, p.member(1)))
	for _, limit := range []int{0, -1} {
		if page, _, err := p.Presence.Members(w.ctx, hall, "", limit); err == nil {
			w.Errorf("a limit of %d gave %v", limit, page)
		}
	}
	for _, cursor := range []string{"no cursor", "\x00", "-1"} {
		if page, _, err := p.Presence.Members(w.ctx, hall, cursor, 10); !errors.Is(err, cluster.ErrCursor) {
			w.Errorf("cursor %q gave %v, %v", cursor, page, err)
		}
	}
}
