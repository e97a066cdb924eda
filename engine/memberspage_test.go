package engine_test

import (
	"context"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
)

// shortPages is a presence whose pages have one member, like those of a cluster with one member on
// each node.
type shortPages struct{ cluster.Presence }

func (p shortPages) Members(ctx context.Context, room cluster.RoomID, cursor string, _ int) ([]cluster.MemberRecord, string, error) {
	return p.Presence.Members(ctx, room, cursor, 1)
}

// TestAPageHasTheMembersOfAllNodes checks that a page of members is full even if the pages of the cluster are short, and that
// the number of pages that it reads is limited.
func TestAPageHasTheMembersOfAllNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", func(c *engine.Config) { c.Cluster.Presence = shortPages{c.Cluster.Presence} })
		for range 20 {
			n.client().do(roomAdd("r"))
		}
		for _, page := range []struct{ limit, want int }{{2, 2}, {16, 16}, {0, 16}} {
			s, err := n.RoomStatus(w.Context(), in("r"), "", page.limit)
			if err != nil || len(s.Members) != page.want || s.MembersCount != 20 || s.Cursor == "" {
				w.Errorf("limit %d: %d members of %d, cursor %q, %v", page.limit, len(s.Members), s.MembersCount, s.Cursor, err)
			}
			if s, err = n.RoomStatus(w.Context(), in("r"), s.Cursor, 0); err != nil || len(s.Members) != min(16, 20-page.want) {
				w.Errorf("the page after %d members has %d, %v", page.want, len(s.Members), err)
			}
		}
	})
}
