package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mootchat/moot/engine/cluster"
)

// named returns the i-th member of a node, with a user and with Announce set.
func (p *peer) named(i int, user string) cluster.MemberRecord {
	m := p.member(i)
	m.User, m.Announce = user, true
	return m
}

func (w *world) users(p *peer, room cluster.RoomID, total int, of map[string]int) {
	w.Helper()
	var names []string
	for name := range of {
		names = append(names, name)
	}
	got, members, err := p.Presence.Users(w.ctx, room, names)
	w.must(err)
	for i, name := range names {
		if members[i] != of[name] {
			w.Errorf("%s counts %d members of %q, want %d", p.name, members[i], name, of[name])
		}
	}
	if got != total || len(members) != len(names) {
		w.Errorf("%s counts %d users, want %d", p.name, got, total)
	}
}

// announces calls Announce until it is done.
func (w *world) announces(p *peer, room cluster.RoomID) {
	w.Helper()
	w.eventually(p.name+" announces", func() bool {
		done, err := p.Presence.Announce(w.ctx, room, p.announce)
		w.must(err)
		return done
	})
}

// told returns the announced changes of the peers, such as "+ann": first those of the first peer, in their order. An
// announcement that several peers have published counts once.
func told(peers ...*peer) (all []string) {
	seen := map[string]bool{}
	for _, p := range peers {
		p.mu.Lock()
		for _, id := range p.order {
			a := p.told[id]
			if seen[id] {
				continue
			}
			seen[id] = true
			for _, user := range sorted(a.Joined) {
				all = append(all, "+"+user)
			}
			for _, user := range sorted(a.Left) {
				all = append(all, "-"+user)
			}
		}
		p.mu.Unlock()
	}
	return all
}

func (w *world) announced(peers []*peer, want ...string) {
	w.Helper()
	w.eventually(fmt.Sprintf("%v are announced", want), func() bool { return len(told(peers...)) >= len(want) })
	if got := told(peers...); !slices.Equal(sorted(got), sorted(want)) {
		w.Errorf("the peers announced %v, want %v", got, want)
	}
}

// usersAreCounted checks the numbers of users and of their members: on two nodes, in other rooms, without users, and after
// a member that was recorded without a user gets one.
func usersAreCounted(w *world) {
	peers, hall, other := w.nodes("a", "b"), room("hall"), room("other")
	a, b := peers[0], peers[1]
	w.create(a, hall, other)
	w.users(a, hall, 0, map[string]int{"ann": 0})
	w.must(a.Presence.Add(w.ctx, hall, a.member(1)))
	w.users(b, hall, 0, nil)
	w.must(a.Presence.Add(w.ctx, hall, a.named(2, "ann")))
	w.must(a.Presence.Add(w.ctx, hall, a.named(2, "ann")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(3, "ann")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(4, "\"\\/ü+|,\x01")))
	w.must(a.Presence.Add(w.ctx, other, a.named(5, "bob")))
	for _, p := range peers {
		w.users(p, hall, 2, map[string]int{"ann": 2, "\"\\/ü+|,\x01": 1, "bob": 0})
		w.users(p, other, 1, map[string]int{"ann": 0, "bob": 1})
	}
	w.must(a.Presence.Add(w.ctx, hall, a.named(1, "ann"))) // a late user
	w.must(a.Presence.Add(w.ctx, hall, a.member(1)))       // keeps the user
	w.users(b, hall, 2, map[string]int{"ann": 3})
	for _, i := range []int{1, 2} {
		w.must(a.Presence.Remove(w.ctx, hall, a.named(i, "").ID))
		w.must(a.Presence.Remove(w.ctx, hall, a.named(i, "").ID))
	}
	w.users(b, hall, 2, map[string]int{"ann": 1})
	w.must(b.Presence.Remove(w.ctx, hall, b.member(3).ID))
	w.users(a, hall, 1, map[string]int{"ann": 0})
}

// usersAreAnnouncedOnce checks that only the first and the last member of a user are announced, and that a user who leaves and
// joins again between two announcements is not announced.
func usersAreAnnouncedOnce(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	a, b := peers[0], peers[1]
	w.create(a, hall)
	quiet := a.member(9)
	quiet.User = "quiet"
	w.must(a.Presence.Add(w.ctx, hall, quiet))
	w.must(a.Presence.Add(w.ctx, hall, a.named(1, "ann")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(2, "ann")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(3, "bob")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(4, "passer")))
	w.must(b.Presence.Remove(w.ctx, hall, b.member(4).ID))
	w.announces(a, hall)
	w.announces(b, hall)
	w.announced(peers, "+ann", "+bob")
	if n := a.told[a.order[0]].Users; n != 3 {
		w.Errorf("the announcement counts %d users, want 3", n)
	}
	w.must(a.Presence.Remove(w.ctx, hall, a.member(1).ID))
	w.must(b.Presence.Remove(w.ctx, hall, b.member(3).ID))
	w.must(b.Presence.Add(w.ctx, hall, b.named(3, "bob"))) // back again
	w.must(a.Presence.Remove(w.ctx, hall, quiet.ID))
	w.announces(b, hall)
	w.announced(peers, "+ann", "+bob")
	w.must(b.Presence.Remove(w.ctx, hall, b.member(2).ID))
	w.must(b.Presence.Remove(w.ctx, hall, b.member(3).ID))
	w.announces(a, hall)
	w.announced(peers, "+ann", "+bob", "-ann", "-bob")
	w.must(a.Presence.Add(w.ctx, hall, a.named(1, "ann")))
	w.announces(a, hall)
	w.announced(peers, "+ann", "+bob", "-ann", "-bob", "+ann")
	w.users(b, hall, 1, map[string]int{"ann": 1})
}

// usersOfTwoNodes checks that each change is announced once if users join and leave on two nodes at once while both nodes
// announce. The users are more than one announcement can have.
func usersOfTwoNodes(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.create(peers[0], hall)
	const users = 600
	var want []string
	for i := range users {
		want = append(want, fmt.Sprintf("+user %d", i))
	}
	each := func(do func(p *peer, i int) error) {
		w.Helper()
		w.together(16, func(k int) error {
			for i := k / 2; i < users; i += 8 {
				if err := do(peers[k%2], i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	over := make(chan struct{})
	var announcing sync.WaitGroup
	defer func() {
		close(over)
		announcing.Wait()
	}()
	for _, p := range peers {
		announcing.Go(func() {
			for {
				if _, err := p.Presence.Announce(w.ctx, hall, p.announce); err != nil {
					w.Error(err)
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	each(func(p *peer, i int) error { return p.Presence.Add(w.ctx, hall, p.named(i, fmt.Sprintf("user %d", i))) })
	w.announced(peers, want...)
	each(func(p *peer, i int) error { return p.Presence.Remove(w.ctx, hall, p.member(i).ID) })
	for i := range users {
		want = append(want, fmt.Sprintf("-user %d", i))
	}
	w.announced(peers, want...)
	w.users(peers[0], hall, 0, nil)
}

// usersOfADeadNode checks that the users of a dead node leave once, unless they have members on other nodes.
func usersOfADeadNode(w *world) {
	peers, hall := w.nodes("a", "b", "c"), room("hall")
	a, b := peers[0], peers[1]
	w.create(a, hall)
	w.must(a.Presence.Add(w.ctx, hall, a.named(1, "ann")))
	w.must(a.Presence.Add(w.ctx, hall, a.named(2, "bob")))
	w.must(b.Presence.Add(w.ctx, hall, b.named(3, "bob")))
	w.announces(a, hall)
	w.announced(peers, "+ann", "+bob")
	w.kill(a)
	w.announced(peers, "+ann", "+bob", "-ann")
	w.users(b, hall, 1, map[string]int{"ann": 0, "bob": 1})
}

// unannouncedUsersOfADeadNode checks that another node announces a change that a node has recorded and not announced before it
// dies. The dead node has no member in the room any more, so that only the record shows the change.
func unannouncedUsersOfADeadNode(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	a, b := peers[0], peers[1]
	w.create(a, hall)
	w.must(b.Presence.Add(w.ctx, hall, b.named(1, "bob")))
	w.must(a.Presence.Add(w.ctx, hall, a.named(2, "ann")))
	w.announces(a, hall)
	w.must(a.Presence.Remove(w.ctx, hall, a.member(2).ID))
	w.kill(a)
	w.announced(peers, "+ann", "+bob", "-ann")
}

// failedAnnouncement checks that an announcement whose publication failed is passed to publish again with the same id and users:
// first on the same node, and after its death on another one.
func failedAnnouncement(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	a, b := peers[0], peers[1]
	w.create(a, hall)
	w.must(b.Presence.Add(w.ctx, hall, b.member(1)))
	w.must(a.Presence.Add(w.ctx, hall, a.named(2, "ann")))
	broken := errors.New("broken")
	var tried []cluster.Announcement
	for range 2 {
		done, err := a.Presence.Announce(w.ctx, hall, func(_ context.Context, one cluster.Announcement) error {
			tried = append(tried, one)
			return broken
		})
		w.mustBe("announce", err, broken)
		if done {
			w.Error("it is done after an error")
		}
	}
	done, err := b.Presence.Announce(w.ctx, hall, b.announce)
	if w.must(err); done {
		w.Error("another node has announced it meanwhile")
	}
	w.kill(a)
	w.announced(peers, "+ann", "-ann")
	if first := b.order[0]; len(tried) != 2 || tried[0].ID != first || tried[1].ID != first || !slices.Equal(tried[1].Joined, []string{"ann"}) {
		w.Errorf("the node tried %+v, and the other one published %s", tried, first)
	}
}
