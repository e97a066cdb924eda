package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// announcements records the announced changes of users, in their order. An announcement counts once.
type announcements struct {
	mu  sync.Mutex
	ids []string
	all []string
}

func (a *announcements) publish(_ context.Context, one cluster.Announcement) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.ids, one.ID) {
		return nil
	}
	a.ids = append(a.ids, one.ID)
	slices.Sort(one.Joined)
	slices.Sort(one.Left)
	for _, user := range one.Joined {
		a.all = append(a.all, "+"+user)
	}
	for _, user := range one.Left {
		a.all = append(a.all, "-"+user)
	}
	return nil
}

func (a *announcements) list() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprint(a.all)
}

// announces waits until the nodes have announced all changes.
func (tr *testCluster) announces(a *announcements, nodes ...*recorder) {
	tr.Helper()
	for _, n := range nodes {
		eventually(tr.T, "users are announced", func() bool {
			done, err := n.Announce(tr.ctx, tr.rooms[0], a.publish)
			return err == nil && done
		})
	}
}

// as adds a member of a user.
func (tr *testCluster) as(n *recorder, id, user string) {
	tr.Helper()
	tr.must(n.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: id, User: user, Announce: true}))
}

// TestUsersAreAnnouncedOnceThoughAFailoverLosesIt checks that users are not announced again after a failover has lost their changes
// and the announcements. The users have joined, left or come back, and another node has announced some of them.
func TestUsersAreAnnouncedOnceThoughAFailoverLosesIt(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	a, b := tr.node(cfg, "a"), tr.node(cfg, "b")
	tr.must(a.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	var told announcements
	hall := tr.rooms[0]
	tr.as(a, "a-1", "stays")
	tr.as(a, "a-2", "leaves")
	tr.as(a, "a-3", "returns")
	tr.announces(&told, a, b)
	successor := f.snapshot()
	tr.as(a, "a-4", "joins")
	tr.as(b, "b-1", "joins")
	tr.as(a, "a-5", "visits")
	tr.must(a.Remove(tr.ctx, hall, "a-2"))
	tr.must(a.Remove(tr.ctx, hall, "a-3"))
	tr.announces(&told, b, a)
	tr.must(a.Remove(tr.ctx, hall, "a-5"))
	tr.as(b, "b-3", "returns")
	tr.announces(&told, a, b)
	want := "[+leaves +returns +stays +joins +visits -leaves -returns +returns -visits]"
	if got := told.list(); got != want {
		t.Fatalf("the nodes announced %s, want %s", got, want)
	}
	successor()
	eventually(t, "the members are recorded again", func() bool {
		n, err := b.Count(tr.ctx, hall)
		return err == nil && n == 4
	})
	tr.announces(&told, a, b)
	if got := told.list(); got != want {
		t.Errorf("after the failover the nodes have announced %s, want %s", got, want)
	}
	total, members, err := b.Users(tr.ctx, hall, []string{"stays", "leaves", "returns", "joins", "visits"})
	if fmt.Sprint(total, members, err) != "3 [1 0 1 2 0] <nil>" {
		t.Errorf("the room has %d users with %v members, %v", total, members, err)
	}
	for _, id := range []string{"a-1", "a-4"} {
		tr.must(a.Remove(tr.ctx, hall, id))
	}
	for _, id := range []string{"b-1", "b-3"} {
		tr.must(b.Remove(tr.ctx, hall, id))
	}
	tr.announces(&told, a, b)
	if got := told.list(); got != want[:len(want)-1]+" -joins -returns -stays]" {
		t.Errorf("at the end the nodes have announced %s", got)
	}
}

// TestAnAnnouncementOutlivesAFailover checks that an announcement is published once if a failover loses it, and the changes of its
// users, while a node publishes it.
func TestAnAnnouncementOutlivesAFailover(t *testing.T) {
	tr := emptyTestCluster(t)
	f := newFailover(tr)
	cfg := Config{Addresses: []string{f.Address()}}
	a, b := tr.node(cfg, "a"), tr.node(cfg, "b")
	tr.must(a.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	var told announcements
	tr.as(b, "b-1", "bob")
	tr.announces(&told, b)
	successor := f.snapshot()
	tr.as(a, "a-1", "ann")
	tr.must(b.Remove(tr.ctx, tr.rooms[0], "b-1"))
	_, err := a.Announce(tr.ctx, tr.rooms[0], func(ctx context.Context, one cluster.Announcement) error {
		successor()
		eventually(t, "the members are recorded again", func() bool {
			page, _, err := b.Members(ctx, tr.rooms[0], "", 10)
			return err == nil && len(page) == 1 && page[0].ID == "a-1"
		})
		eventually(t, "users may be announced", func() bool {
			n, err := a.client.Exists(ctx, a.parts[0].keys.of("ug"), a.parts[0].keys.of("settling")).Result()
			return err == nil && n == 0
		})
		if done, err := b.Announce(ctx, tr.rooms[0], told.publish); err != nil || done {
			t.Errorf("another node announces meanwhile: %v, %v", done, err)
		}
		return told.publish(ctx, one)
	})
	tr.must(err)
	tr.announces(&told, a, b)
	if got := told.list(); got != "[+bob +ann -bob]" {
		t.Errorf("the nodes announced %s", got)
	}
}

// TestUsersThatANodeOfAnEarlierVersionLeftAreForgotten checks that the next member of a room resets the counts of users that an
// earlier version left there: it removes members without counting users.
func TestUsersThatANodeOfAnEarlierVersionLeftAreForgotten(t *testing.T) {
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{redistest.Start(t).Address()}}, "a")
	tr.must(a.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	p, key := a.at(tr.rooms[0])
	tr.must(a.client.HSet(tr.ctx, p.keys.of("u", key), "", 1, "616e6e", "1+").Err())
	tr.as(a, "a-1", "bob")
	total, members, err := a.Users(tr.ctx, tr.rooms[0], []string{"ann", "bob"})
	if fmt.Sprint(total, members, err) != "1 [0 1] <nil>" {
		t.Errorf("the room has %d users with %v members, %v", total, members, err)
	}
}

// TestRoomsWithoutUsersHaveNoKeysOfUsers checks that members without users make no keys for users, and that users who have left
// leave only the number of the last announcement.
func TestRoomsWithoutUsersHaveNoKeysOfUsers(t *testing.T) {
	tr := emptyTestCluster(t)
	a := tr.node(Config{Addresses: []string{redistest.Start(t).Address()}}, "a")
	tr.must(a.Cluster().Rooms.Create(tr.ctx, tr.rooms[0]))
	p, key := a.at(tr.rooms[0])
	tr.must(a.Add(tr.ctx, tr.rooms[0], cluster.MemberRecord{ID: "a-1"}))
	kinds := []string{"u", "ud", "un", "ul"}
	exist := func() (n int64) {
		for _, kind := range kinds {
			one, err := a.client.Exists(tr.ctx, p.keys.of(kind, key)).Result()
			tr.must(err)
			n += one
		}
		return n
	}
	if n := exist(); n != 0 {
		t.Errorf("a room without users has %d keys of users", n)
	}
	var told announcements
	tr.as(a, "a-2", "ann")
	tr.announces(&told, a)
	tr.must(a.Remove(tr.ctx, tr.rooms[0], "a-2"))
	tr.announces(&told, a)
	kinds = []string{"u", "ud", "ul"}
	if n := exist(); n != 0 || told.list() != "[+ann -ann]" {
		t.Errorf("after %s the room has %d keys of users", told.list(), n)
	}
	if n, err := a.client.ZCard(tr.ctx, p.keys.of("ua")).Result(); n != 0 || err != nil {
		t.Errorf("%d rooms are to be announced, %v", n, err)
	}
}
