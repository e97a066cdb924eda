package clustertest

import (
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

func lost() []promise {
	return []promise{
		{"DeadNodesMembersAreHandedOverOnce", deadNodesMembersAreHandedOverOnce},
		{"LeavingNodesMembersAreHandedOverOnce", leavingNodesMembersAreHandedOverOnce},
		{"NewcomerTakesWhatNobodyWasLeftToTake", newcomerTakesWhatWasLeft},
		{"DeadNodesMembersAreNotReadWhileTheyAreLetGo", deadMembersAreNotRead},
		{"DeadNodeIsOffTheList", deadNodeIsOffTheList},
		{"SurvivorsGoOnTalking", survivorsGoOnTalking},
		{"WhoPartsIsNotHandedOver", leavingMembersAreNotHandedOver},
	}
}

// seats adds members of the node to every room, and returns the members that Lost is expected to
// pass.
func (w *world) seats(p *peer, rooms []cluster.RoomID, perRoom int) []member {
	w.Helper()
	var all []member
	for _, room := range rooms {
		for i := range perRoom {
			m := p.member(i)
			w.must(p.Presence.Add(w.ctx, room, m))
			all = append(all, member{room, m.ID, m.JoinedAt, m.User, string(m.Profile)})
		}
	}
	return all
}

func halls(n int) []cluster.RoomID {
	var rooms []cluster.RoomID
	for i := range n {
		rooms = append(rooms, room(fmt.Sprintf("room %d", i)))
	}
	return rooms
}

// awaitHandOver waits until Lost has passed all of want to the peers, and fails the test if it passed a
// member twice or another member.
func (w *world) awaitHandOver(peers []*peer, want []member) {
	w.Helper()
	total := func() map[member]int {
		all := map[member]int{}
		for _, p := range peers {
			p.mu.Lock()
			for m, n := range p.lost {
				all[m] += n
			}
			p.mu.Unlock()
		}
		return all
	}
	w.eventually("all lost members are handed over", func() bool {
		all := total()
		return !slices.ContainsFunc(want, func(m member) bool { return all[m] == 0 })
	})
	all := total()
	for m, n := range all {
		if n != 1 || !slices.Contains(want, m) {
			w.Fatalf("%+v was handed over %d times", m, n)
		}
	}
}

// counts waits until every peer counts and reads want members in each room.
func (w *world) counts(peers []*peer, rooms []cluster.RoomID, want int) {
	w.Helper()
	for _, p := range peers {
		for _, room := range rooms {
			w.eventually(fmt.Sprintf("%s reads %d in %q", p.name, want, room.Room), func() bool {
				n, err := p.Presence.Count(w.ctx, room)
				w.must(err)
				return n == want && len(w.walk(p, room, 100)) == want
			})
		}
	}
}

// deadNodesMembersAreHandedOverOnce kills two nodes, one after the other. The members of the
// second node show that the members of the first are not handed over again.
func deadNodesMembersAreHandedOverOnce(w *world) {
	peers, rooms := w.nodes("a", "b", "c", "d"), halls(10)
	w.create(peers[0], rooms...)
	mine := w.seats(peers[0], rooms, 20)
	others := w.seats(peers[1], rooms, 5)
	w.seats(peers[2], rooms, 3)
	gone := peers[0].member(100) // removed before the node dies, so Lost does not pass it
	w.must(peers[0].Presence.Add(w.ctx, rooms[0], gone))
	w.must(peers[0].Presence.Remove(w.ctx, rooms[0], gone.ID))

	w.kill(peers[0])
	w.awaitHandOver(peers[1:], mine)
	w.counts(peers[1:], rooms, 8)
	w.kill(peers[1])
	w.awaitHandOver(peers[1:], append(mine, others...))
	w.counts(peers[2:], rooms, 3)
	w.awaitHandOver(peers[1:], append(mine, others...))
}

func leavingNodesMembersAreHandedOverOnce(w *world) {
	peers, rooms := w.nodes("a", "b", "c"), halls(3)
	w.create(peers[0], rooms...)
	mine := w.seats(peers[0], rooms, 5)
	others := w.seats(peers[1], rooms, 2)
	w.leaves(peers[0])
	w.awaitHandOver(peers[1:], mine)
	w.counts(peers[1:], rooms, 2)
	w.leaves(peers[1])
	w.awaitHandOver(peers[1:], append(mine, others...))
	w.counts(peers[2:], rooms, 0)
}

func newcomerTakesWhatWasLeft(w *world) {
	old, rooms := w.node("a"), halls(3)
	w.create(old, rooms...)
	mine := w.seats(old, rooms, 5)
	w.kill(old)
	heir := w.node("b")
	w.awaitHandOver([]*peer{heir}, mine)
	w.counts([]*peer{heir}, rooms, 0)
}

// deadMembersAreNotRead checks that a dead node's members are not counted and read while the
// survivor runs leave.
func deadMembersAreNotRead(w *world) {
	peers, rooms := w.nodes("a", "b"), halls(2)
	peers[1].letGo = make(chan struct{})
	w.create(peers[0], rooms...)
	mine := w.seats(peers[0], rooms, 5)
	w.kill(peers[0])
	w.counts(peers[1:], rooms, 0)
	close(peers[1].letGo)
	w.awaitHandOver(peers[1:], mine)
}

func deadNodeIsOffTheList(w *world) {
	peers := w.nodes("a", "b", "c")
	w.kill(peers[0])
	for _, p := range peers[1:] {
		w.eventually("the dead node is off the list", func() bool { return slices.Equal(w.list(p), []string{"b", "c"}) })
		_, err := p.Nodes.Call(w.ctx, "a", []byte("echo 1"))
		w.mustBe("call the dead", err, cluster.ErrNoNode)
	}
}

func survivorsGoOnTalking(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	w.subscribe(hall, peers...)
	w.publish(peers[0], hall, "1")
	w.kill(peers[0])
	w.publish(peers[1], hall, "2")
	w.publish(peers[2], hall, "3")
	for _, p := range peers[1:] {
		w.hears(p, hall, "1", "2", "3")
	}
}

// leavingMembersAreNotHandedOver checks that a leaving member is not handed over, because its node may
// have run leave, and that a member that was added again is handed over.
func leavingMembersAreNotHandedOver(w *world) {
	peers, rooms := w.nodes("a", "b"), halls(2)
	w.create(peers[0], rooms...)
	mine := w.seats(peers[0], rooms, 3)
	part := func(room cluster.RoomID, i int) {
		w.Helper()
		for range 2 { // a second call changes nothing
			gone, err := peers[0].Presence.BeginLeave(w.ctx, room, peers[0].member(i).ID)
			w.must(err)
			if gone {
				w.Errorf("%s is another node's", peers[0].member(i).ID)
			}
		}
	}
	part(rooms[0], 0)
	part(rooms[1], 1)
	part(rooms[1], 2)
	w.count(peers[1], rooms[1], 3)
	w.must(peers[0].Presence.Add(w.ctx, rooms[1], peers[0].member(1)))
	w.must(peers[0].Presence.Remove(w.ctx, rooms[1], peers[0].member(2).ID))
	w.count(peers[1], rooms[1], 2)
	w.kill(peers[0])
	w.awaitHandOver(peers[1:], []member{mine[1], mine[2], mine[3], mine[4]})
	w.counts(peers[1:], rooms, 0)
}
