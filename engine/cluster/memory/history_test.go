package memory

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

var minute = cluster.Retention{Messages: 10, For: time.Minute}

func top(t *testing.T, c cluster.Backend) cluster.Position {
	t.Helper()
	page, err := c.History.Read(t.Context(), hall, cluster.Position{}, 0, minute)
	must(t, err)
	return page.Top
}

// TestHistoryIsForgottenInTime checks that a position is known for the promised time, and that a
// silent room takes no memory afterwards.
func TestHistoryIsForgottenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := New()
		a := hub.Node("a")
		run(t, a, deaf)
		must(t, a.Broker.Publish(t.Context(), hall, []byte("1"), minute))
		time.Sleep(59 * time.Second)
		at := top(t, a) // the room is known for another minute from now
		if at.Offset != 1 {
			t.Errorf("the room is at %+v", at)
		}
		time.Sleep(59 * time.Second)
		page, err := a.History.Read(t.Context(), hall, at, 10, cluster.Retention{Messages: 10})
		must(t, err)
		if page.Missing || page.Top != at {
			t.Errorf("a position was forgotten too early: %+v", page)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(hub.topics.byRoom); n != 0 {
			t.Errorf("%d topics are kept", n)
		}
		if now := top(t, a); now.Epoch == at.Epoch || now.Offset != 0 {
			t.Errorf("a forgotten room goes on at %+v", now)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	})
}

// TestHistoryOfALivelyRoomIsBounded checks that number and age bound the history of a busy room.
func TestHistoryOfALivelyRoomIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := New()
		a := hub.Node("a")
		run(t, a, deaf)
		must(t, a.Broker.Subscribe(t.Context(), hall))
		kept := func() int {
			h := &hub.topics.byRoom[hall].history
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.kept)
		}
		for range 100 {
			must(t, a.Broker.Publish(t.Context(), hall, []byte("1"), minute))
		}
		if n := kept(); n != 10 {
			t.Errorf("%d messages are kept, want 10", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := kept(); n != 0 {
			t.Errorf("%d messages are kept after their time", n)
		}
		if at := top(t, a); at.Offset != 100 {
			t.Errorf("the room with a member is at %+v", at)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	})
}

// TestASessionDoesNotOutliveTheLastNode checks that the last node does not park sessions.
func TestASessionDoesNotOutliveTheLastNode(t *testing.T) {
	hub := New()
	a := hub.Node("a")
	stop := run(t, a, deaf)
	if err := a.Sessions.Park(t.Context(), "key", nil, time.Hour); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a node alone parks: %v", err)
	}
	if _, err := a.Sessions.Take(t.Context(), "key"); !errors.Is(err, cluster.ErrNoSession) {
		t.Errorf("take: %v", err)
	}
	must(t, stop())
	if err := a.Sessions.Park(t.Context(), "key", nil, time.Hour); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a node that has left parks: %v", err)
	}
}
