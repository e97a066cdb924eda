//go:build chaos

package redis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// people adds servers and their clients to the round.
func (r *round) people() {
	for i := range 3 {
		r.sites = append(r.sites, r.site(fmt.Sprint("site-", i)))
	}
	random := func(seed uint64) func(time.Duration) time.Duration {
		rng := r.branch(seed)
		return func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }
	}
	for i, s := range r.sites {
		r.client(fmt.Sprint("stayer", i)).enters(s)
	}
	for _, c := range r.clients {
		c.talks()
	}
	r.moderate()
	for i := range 2 {
		r.client(fmt.Sprint("returner", i)).comesBack(slices.Concat(r.sites[i:], r.sites[:i]), random(uint64(i)))
		r.client(fmt.Sprint("resumer", i)).resumes(slices.Concat(r.sites[i:], r.sites[:i]), random(uint64(10+i)))
	}
}

// received returns the last piece of a client in a room, and all its pieces.
func (c *client) received(room string) (last []string, pieces [][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[room]
	for _, piece := range p.pieces {
		pieces = append(pieces, slices.Clone(piece))
	}
	if len(pieces) > 0 {
		last = pieces[len(pieces)-1]
	}
	return last, pieces
}

// checkPeople compares the received messages of clients with the accepted messages, and with each
// other.
func (r *round) checkPeople() {
	stayers := r.clients[:len(r.sites)]
	const last = "the last message"
	for _, room := range []string{historyRoom, plainRoom} {
		if err := stayers[0].say(room, last, false); err != nil {
			r.Errorf("%s: %v", stayers[0].name, err)
		}
	}
	for _, room := range []string{historyRoom, plainRoom} {
		accepted := r.accepted(room)
		for _, c := range stayers {
			if redistest.Await("all is received", func() bool { return r.lacks(c, room, accepted, last) == "" }) != nil {
				r.Errorf("%s did not receive %q in %q", c.name, r.lacks(c, room, accepted, last), room)
			}
		}
		order, _ := stayers[0].received(room)
		for _, c := range stayers {
			all, pieces := c.received(room)
			r.noneTwice(c, room, all)
			if len(pieces) != 1 || !r.delayed && !slices.Equal(all, order) {
				r.Errorf("%s received %d messages in %d pieces in %q, %s %d, and not the same", c.name, len(all), len(pieces), room, stayers[0].name, len(order))
			}
		}
		for _, c := range r.clients[len(r.sites):] {
			if room == historyRoom || !strings.HasPrefix(c.name, "returner") {
				r.piecesOf(c, room, order)
			}
		}
	}
	for _, c := range r.clients {
		for room, p := range c.places {
			if p.gaps > 0 {
				r.Errorf("%s was told of %d gaps in %q", c.name, p.gaps, room)
			}
		}
		if strings.HasPrefix(c.name, "returner") && c.returns == 0 {
			r.Errorf("%s never came back without missing something", c.name)
		}
		r.Logf("%s: came back %d times and missed nothing, session ended %d times", c.name, c.returns, c.ended)
	}
	for _, s := range r.sites {
		if n := s.node.Counters(); n.Gaps > 0 || n.Malformed > 0 {
			r.Errorf("%s counts %d gaps, %d malformed", s.node.cfg.Node, n.Gaps, n.Malformed)
		}
	}
	r.noGhosts()
}

// lacks returns an accepted message that the client has not received. If the last message of the
// client is not last, it returns last. Otherwise it returns "".
func (r *round) lacks(c *client, room string, accepted []string, last string) string {
	all, _ := c.received(room)
	has := map[string]bool{}
	for _, text := range all {
		has[text] = true
	}
	for _, text := range accepted {
		if !has[text] {
			return text
		}
	}
	if len(all) == 0 || all[len(all)-1] != last {
		return last
	}
	return ""
}

func (r *round) accepted(room string) (texts []string) {
	for _, c := range r.clients {
		c.mu.Lock()
		for what, outcome := range c.outcomes {
			if text, ok := strings.CutPrefix(what, room+"/"); ok && outcome == '+' {
				texts = append(texts, text)
			}
		}
		c.mu.Unlock()
	}
	return texts
}

func (r *round) noneTwice(c *client, room string, order []string) {
	seen := map[string]bool{}
	for _, text := range order {
		if seen[text] {
			r.Errorf("%s received %q twice in %q", c.name, text, room)
		}
		seen[text] = true
	}
}

// piecesOf checks that each piece is a contiguous part of the order, and that the pieces follow
// each other. In a room without history a client may reconnect to a node that is behind, and
// receive messages again that it received elsewhere. If messages may have been published again
// late, it checks only that the last piece has none twice.
func (r *round) piecesOf(c *client, room string, order []string) {
	end := order[len(order)-1]
	if redistest.Await("the end is received", func() bool { last, _ := c.received(room); return slices.Contains(last, end) }) != nil {
		_, pieces := c.received(room)
		r.Errorf("%s did not receive the last message in %q: %d pieces", c.name, room, len(pieces))
	}
	number := map[string]int{}
	for i, text := range order {
		number[text] = i
	}
	_, pieces := c.received(room)
	if r.delayed {
		r.noneTwice(c, room, pieces[len(pieces)-1])
		return
	}
	next := 0
	for k, piece := range pieces {
		if room == plainRoom {
			next = 0
		}
		for j, text := range piece {
			i, known := number[text]
			if !known || i < next || j > 0 && i > next {
				r.Errorf("%s received %q in %q as number %d of piece %d of %d: it is number %d (%v), %d was next", c.name, text, room, j, k, len(pieces), i, known, next)
				break
			}
			next = i + 1
		}
	}
}

// noGhosts disconnects all clients, and checks that no member is left when the sessions have
// ended.
func (r *round) noGhosts() {
	for _, c := range r.clients {
		c.mu.Lock()
		conn := c.conn
		c.mu.Unlock()
		_ = send(conn, map[string]any{"event": "quit"})
	}
	for _, room := range []string{historyRoom, plainRoom} {
		left := func() int {
			n, err := r.sites[0].Members(r.ctx, cluster.RoomID{Tenant: "default", Room: room})
			if err != nil {
				r.Errorf("members: %v", err)
			}
			return n
		}
		if redistest.Await("nobody is left", func() bool { return left() == 0 }) != nil {
			r.Errorf("%d ghosts in %q", left(), room)
		}
	}
}
