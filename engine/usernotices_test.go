package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// tellsOfUsers enables presence by user for the room "r".
func tellsOfUsers(c *engine.Config) {
	c.Tenants[0].Tokens = people
	c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(r string) bool { return r == "r" }, Presence: true, Users: true}}
}

// userNotices returns the changes in the notices of users that the client has received since the last call, such as
// "+ann 2": ann has joined, and 2 users are in the room. Other messages are discarded.
func (c *client) userNotices() (all []string) {
	c.n.w.Helper()
	for _, text := range c.heard() {
		var n struct {
			Context, ID, Room string
			Joined, Left      []string
			Users             *struct {
				Joined, Left []string
				Count        int
			}
		}
		if err := json.Unmarshal([]byte(text), &n); err != nil || n.Context != "presence" || n.Users == nil {
			continue
		}
		if n.ID == "" || n.Room != "r" || n.Joined == nil || n.Left == nil || len(n.Joined)+len(n.Left) > 0 {
			c.n.w.Errorf("a notice of users is %s", text)
		}
		for sign, names := range map[string][]string{"+": n.Users.Joined, "-": n.Users.Left} {
			for _, name := range names {
				all = append(all, fmt.Sprint(sign, name, " ", n.Users.Count))
			}
		}
	}
	return all
}

// isToldOf checks the notices of users that the client receives in the next moment.
func (c *client) isToldOf(want ...string) {
	c.n.w.Helper()
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
	got := c.userNotices()
	slices.Sort(got) // users of a notice have no order
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		c.n.w.Errorf("received %q, want %q", got, want)
	}
}

// TestMembersReceiveNoticesOfUsers checks the notices of a user's first and last connection on two nodes, of a connection that gets
// its user late, and of a user who comes back at once. Clients that did not ask receive none.
func TestMembersReceiveNoticesOfUsers(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfUsers), w.node("two", tellsOfUsers)
		a := one.client().do(watch("r"))
		hero, err := one.tryOpen(wire.WebSocket, engine.ReservationRequest{}, actionHero)
		w.must(err, nil)
		hero.do(watch("r"))
		deaf := two.client().do(roomAdd("r"))
		a.isToldOf()
		ann, again := one.as("ann").do(roomAdd("r")), two.as("ann").do(roomAdd("r"))
		a.isToldOf("+ann 1")
		bob := two.client().do(roomAdd("r"))
		a.isToldOf()
		bob.do(`{"event":"auth","token":"bob","messageId":1}`)
		a.isToldOf("+bob 2")
		ann.do(roomLeave("r"))
		a.isToldOf()
		again.do(roomLeave("r"))
		two.as("ann").do(roomAdd("r"))
		a.isToldOf() // the user was back before a notice
		bob.HangUp()
		a.isToldOf("-bob 1")
		two.as("ann").do(roomAdd("q"))
		a.isToldOf()
		if got := hero.userNotices(); got != nil {
			t.Errorf("a client of ActionHero received %q", got)
		}
		if got := deaf.userNotices(); got != nil {
			t.Errorf("a client that did not ask received %q", got)
		}
	})
}

// TestRoomViewCountsUsers checks the users of a page, with their connections on all nodes, and their number.
func TestRoomViewCountsUsers(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfUsers), w.node("two", tellsOfUsers)
		guest := one.client().do(roomAdd("r"), roomAdd("q"))
		one.as("ann").do(roomAdd("r"))
		two.as("ann").do(roomAdd("r"))
		two.as("bob").do(roomAdd("r"))
		if got, want := viewed(guest), `"membersCount":4,"users":{"ann":{"connections":2},"bob":{"connections":1}},"usersCount":2}`; !strings.Contains(got, want) {
			t.Errorf("the room is %s, want %s", got, want)
		}
		guest.Run(`{"event":"roomView","room":"r","limit":1,"messageId":1}`)
		if got := guest.heard()[0]; !strings.Contains(got, `"users":{},"usersCount":2`) {
			t.Errorf("the first page is %s", got)
		}
		guest.Run(`{"event":"roomView","room":"q","messageId":1}`)
		if got := guest.heard()[0]; strings.Contains(got, `"users`) {
			t.Errorf("a room without the setting is %s", got)
		}
	})
}

// TestUsersOfADeadNodeAreAnnounced checks that a survivor announces that the users of a dead node have left, and the changes that
// the dead node had recorded and not announced.
func TestUsersOfADeadNodeAreAnnounced(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", tellsOfUsers), w.node("two", tellsOfUsers)
		a := two.client().do(watch("r"))
		one.as("ann").do(roomAdd("r"))
		bob := one.as("bob").do(roomAdd("r"))
		a.isToldOf("+ann 2", "+bob 2")
		bob.do(roomLeave("r"))
		w.must(w.hub.Kill("one"), nil)
		a.isToldOf("-ann 0", "-bob 0")
	})
}

// repeating is a presence whose Announce passes each announcement twice.
type repeating struct{ cluster.Presence }

func (r repeating) Announce(ctx context.Context, room cluster.RoomID, publish func(context.Context, cluster.Announcement) error) (bool, error) {
	return r.Presence.Announce(ctx, room, func(ctx context.Context, a cluster.Announcement) error {
		return errors.Join(publish(ctx, a), publish(ctx, a))
	})
}

// TestARepeatedNoticeOfUsersIsDeliveredOnce checks that members receive a notice once if it is published twice.
func TestARepeatedNoticeOfUsersIsDeliveredOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", tellsOfUsers, func(c *engine.Config) { c.Cluster.Presence = repeating{c.Cluster.Presence} })
		a := n.client().do(watch("r"))
		n.as("ann").do(roomAdd("r"))
		a.isToldOf("+ann 1")
		n.as("bob").do(roomAdd("r"))
		a.isToldOf("+bob 2")
	})
}

// TestUsersAreAnnouncedAfterAFault checks that users are announced when the cluster answers again.
func TestUsersAreAnnouncedAfterAFault(t *testing.T) {
	inWorld(t, func(w *world) {
		f := &unavailableBroker{}
		n := w.node("one", tellsOfUsers, func(c *engine.Config) { f.Broker, c.Cluster.Broker = c.Cluster.Broker, f })
		a := n.client().do(watch("r"))
		f.broken.Store(true)
		n.as("ann").do(roomAdd("r"))
		a.isToldOf()
		n.as("bob").do(roomAdd("r"))
		a.isToldOf()
		f.broken.Store(false)
		time.Sleep(time.Second)
		got := strings.Join(a.userNotices(), ", ")
		if got != "+ann 1, +bob 2" { // the first announcement was not lost
			t.Errorf("received %q", got)
		}
	})
}

// unavailableBroker is a broker whose Publish fails while broken is set.
type unavailableBroker struct {
	cluster.Broker
	broken atomic.Bool
}

func (b *unavailableBroker) Publish(ctx context.Context, room cluster.RoomID, payload []byte, keep cluster.Retention) error {
	if b.broken.Load() {
		return cluster.ErrUnavailable
	}
	return b.Broker.Publish(ctx, room, payload, keep)
}

// TestAGivenUserIsAnnounced checks that nodes announce a user that a module has named while the connection is a member.
func TestAGivenUserIsAnnounced(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", tellsOfUsers).identifies(nil)
		a := n.client().do(watch("r"))
		a.isToldOf()
		n.client().do(roomAdd("r"), login("cleo"))
		a.isToldOf("+cleo 1")
	})
}
