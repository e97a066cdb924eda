//go:build chaos

package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// usersRoom is the room with notices of users.
const usersRoom = "users"

var usersRoomID = cluster.RoomID{Tenant: "default", Room: usersRoom}

// usersChange is the part of a notice about users.
type usersChange struct {
	Joined []string `json:"joined"`
	Left   []string `json:"left"`
	Count  int      `json:"count"`
}

// attendance are the users of a round.
type attendance struct {
	watchers []*client      // one on each site
	stay     map[string]int // number of connections of each user that stay in the room
}

// The users of a round: those of clients, and those of members of nodes, which may die.
const (
	usersOfClients     = 5
	connectionsPerUser = 2
	usersOfNodes       = 3
)

// attend makes a client on each site receive notices of users, and the clients of several users join and leave the room on random
// sites. A connection gets its user before or after it joins. The nodes without clients have members with users in the same room.
func (r *round) attend() {
	r.attendance = &attendance{stay: map[string]int{}}
	for i, s := range r.sites {
		c := r.newClient(fmt.Sprint("watcher ", i))
		r.must(c.connect(s))
		for r.ask(c, map[string]any{"event": "roomAdd", "room": usersRoom, "presence": true}) != nil {
			r.breath(50 * time.Millisecond)
		}
		r.attendance.watchers = append(r.attendance.watchers, c)
	}
	for i := range usersOfClients * connectionsPerUser {
		user := fmt.Sprint("user ", i%usersOfClients)
		stays := i%usersOfClients < 2
		if stays {
			r.attendance.stay[user]++
		}
		rng := r.branch(uint64(60 + i))
		r.work.Go(func() { r.newClient(fmt.Sprint(user, "/", i)).visits(user, rng, stays) })
	}
	for _, e := range r.observers {
		r.work.Go(func() { r.churnUsers(e) })
	}
}

// ask sends a request, and returns the error of the connection or of the answer.
func (r *round) ask(c *client, request map[string]any) error {
	a, err := c.ask(request, nil)
	if err == nil && a.Error != "" {
		err = fmt.Errorf("%v: %s", request, a.Error)
	}
	return err
}

// visits makes a client join the room and leave it again and again, on random sites. At the end it is a member, or not.
func (c *client) visits(user string, rng *rand.Rand, stays bool) {
	r := c.r
	for !r.over.Load() && !r.late() {
		if !c.visit(user, r.sites[rng.IntN(len(r.sites))], rng.IntN(2) == 0) {
			r.breath(50 * time.Millisecond)
			continue
		}
		r.breath(time.Duration(100+rng.IntN(1200)) * time.Millisecond)
		switch rng.IntN(8) {
		case 0: // its session ends after a while
			c.hangUp()
		case 1, 2:
			_ = r.ask(c, map[string]any{"event": "roomLeave", "room": usersRoom})
			fallthrough
		default:
			c.quit()
		}
		r.breath(time.Duration(rng.IntN(1500)) * time.Millisecond)
	}
	for stays && !r.late() && !c.visit(user, r.sites[rng.IntN(len(r.sites))], true) {
		r.breath(50 * time.Millisecond)
	}
}

// visit connects the client, gives it its user and makes it a member. It reports whether all of this succeeded; otherwise the client
// has no connection.
func (c *client) visit(user string, s *site, late bool) bool {
	if c.connect(s) != nil {
		return false
	}
	requests := []map[string]any{
		{"event": "action", "params": map[string]any{"action": "login", "user": user}},
		{"event": "roomAdd", "room": usersRoom},
	}
	if late {
		slices.Reverse(requests)
	}
	for _, one := range requests {
		if c.r.ask(c, one) != nil {
			c.quit()
			return false
		}
	}
	return true
}

// quit ends the connection and its session.
func (c *client) quit() {
	c.mu.Lock()
	conn, gone := c.conn, c.gone
	c.mu.Unlock()
	_ = send(conn, map[string]any{"event": "quit"})
	select {
	case <-gone:
	case <-time.After(time.Minute):
		c.r.Errorf("%s: the connection does not end after quit", c.name)
		_ = conn.Close()
	}
}

// churnUsers makes members of users join and leave the room on a node, and the node announce them as an engine does. Members of a node
// that lives have left at the end.
func (r *round) churnUsers(e *observer) {
	remove := func(k int) {
		id := fmt.Sprintf("%s-user-%d", e.cfg.Node, k)
		e.rejoining.Lock()
		e.noteUser(id, false)
		e.rejoining.Unlock()
		_ = e.Remove(r.ctx, usersRoomID, id)
	}
	live := func() bool { return e.alive() && !e.isDead(r) }
	k := 0
	for ; !r.over.Load() && live(); k++ {
		id := fmt.Sprintf("%s-user-%d", e.cfg.Node, k)
		e.noteUser(id, true)
		if e.Add(r.ctx, usersRoomID, cluster.MemberRecord{ID: id, JoinedAt: int64(k), User: fmt.Sprint("node user ", k%usersOfNodes), Announce: true}) != nil {
			e.noteUser(id, false)
		}
		if k >= 2 {
			remove(k - 2)
		}
		if k%3 > 0 { // some changes are left to the other nodes
			e.Unannounced(r.ctx, usersRoomID)
		}
		r.breath(150 * time.Millisecond)
	}
	for last := k; k >= last-2 && k >= 0 && live(); k-- {
		remove(k)
	}
}

func (e *observer) noteUser(id string, is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if is {
		e.userMembers[id] = true
	} else {
		delete(e.userMembers, id)
	}
}

// Unannounced announces users as an engine does: it publishes a notice in the topic of the room's notices.
func (e *observer) Unannounced(ctx context.Context, room cluster.RoomID) {
	_, _ = e.Announce(ctx, room, func(ctx context.Context, a cluster.Announcement) error {
		notice := struct {
			Context string      `json:"context"`
			ID      string      `json:"id"`
			Room    string      `json:"room"`
			Joined  []string    `json:"joined"`
			Left    []string    `json:"left"`
			Members int         `json:"membersCount"`
			Users   usersChange `json:"users"`
		}{"presence", a.ID, room.Room, []string{}, []string{}, 0, usersChange{append([]string{}, a.Joined...), append([]string{}, a.Left...), a.Users}}
		b, err := json.Marshal(notice)
		if err != nil {
			return err
		}
		return e.Publish(ctx, cluster.RoomID{Tenant: room.Tenant, Room: "\x01" + room.Room}, b, cluster.Retention{})
	})
}

// noteUsers records a notice of users: "+NAME" and "-NAME". The lock is held.
func (c *client) noteUsers(change *usersChange) {
	for _, user := range change.Joined {
		c.users = append(c.users, "+"+user)
	}
	for _, user := range change.Left {
		c.users = append(c.users, "-"+user)
	}
}

// announced returns the announced changes of each user, such as "+-+".
func (c *client) announced() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := map[string]string{}
	for _, one := range c.users {
		changes[one[1:]] += one[:1]
	}
	return changes
}

// checkUsers checks that each watcher received the joins and leaves of each user in turn, and on all sites the same, that the users who
// were announced are those in the room, and that all sites count them.
func (r *round) checkUsers() {
	a := r.attendance
	counted := func(s *site) string {
		status, err := s.RoomStatus(r.ctx, usersRoomID, "", 0)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(status.UsersCount, status.Users)
	}
	want := fmt.Sprint(len(a.stay), a.stay)
	for _, s := range r.sites {
		if redistest.Await("the users are counted", func() bool { return counted(s) == want }) != nil {
			r.Errorf("%s counts the users %s, want %s", s.node.cfg.Node, counted(s), want)
		}
	}
	for _, c := range a.watchers {
		if redistest.Await("users are announced", func() bool { return r.wrongUsers(c) == "" }) != nil {
			r.Errorf("%s received wrong notices of users: %s", c.name, r.wrongUsers(c))
		}
	}
	first := a.watchers[0].announced()
	total := 0
	for user, changes := range first {
		total += len(changes)
		for _, c := range a.watchers[1:] {
			if got := c.announced()[user]; got != changes {
				r.Errorf("%s received the changes %s of %s, %s received %s", c.name, got, user, a.watchers[0].name, changes)
			}
		}
	}
	if total < 20 {
		r.Errorf("only %d changes of users were announced: %v", total, first)
	}
	r.Logf("users: %d changes of %d users", total, len(first))
}

// wrongUsers describes the users whose announcements are wrong: not in turn, or not those of the users in the room. A failover and the
// death of the node that announced them may announce users again.
func (r *round) wrongUsers(c *client) (wrong string) {
	again := r.deployment.lossy && len(r.dead) > 0
	changes := c.announced()
	for user, all := range changes {
		present := all[len(all)-1] == '+'
		inTurn := all[0] == '+' && !strings.Contains(all, "++") && !strings.Contains(all, "--")
		if !inTurn && !again || present != (r.attendance.stay[user] > 0) {
			wrong += fmt.Sprintf("%s %s (stays: %v); ", user, all, r.attendance.stay[user] > 0)
		}
	}
	for user := range r.attendance.stay {
		if changes[user] == "" {
			wrong += user + " was never announced; "
		}
	}
	return wrong
}
