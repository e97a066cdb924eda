//go:build chaos

package redis

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/review"
)

// heldRoom is the room of which a rule holds all messages.
const heldRoom = "held"

// queueing are the held messages of a round.
type queueing struct {
	receivers []*client

	mu   sync.Mutex
	held map[string]string // text of each message that was answered as held, by its id
}

// hold makes an author on each site say messages that are held, and two moderators on random sites decide about them. Every tenth
// message is rejected, the others are released.
func (r *round) hold() {
	r.queueing = &queueing{held: map[string]string{}}
	for i, s := range r.sites {
		c := r.newClient(fmt.Sprint("author", i))
		c.places[heldRoom] = &visits{pieces: [][]string{nil}}
		r.must(c.connect(s))
		if _, err := c.ask(map[string]any{"event": "roomAdd", "room": heldRoom}, nil); err != nil {
			r.Fatal(err)
		}
		r.queueing.receivers = append(r.queueing.receivers, c)
		r.work.Go(func() {
			for k := 0; !r.over.Load() && !r.late(); k++ {
				c.sayHeld(fmt.Sprintf("%s %d.", c.name, k))
				r.breath(100 * time.Millisecond)
			}
		})
	}
	for i := range 2 {
		rng := r.branch(uint64(40 + i))
		r.work.Go(func() {
			for !r.over.Load() && !r.late() {
				r.decideAll(r.sites[rng.IntN(len(r.sites))])
				r.breath(time.Duration(100+rng.IntN(400)) * time.Millisecond)
			}
		})
	}
}

// sayHeld says a text until the answer is that it is held, or unknown, always with the same key.
func (c *client) sayHeld(text string) {
	for !c.r.late() {
		a, err := c.ask(map[string]any{"event": "say", "room": heldRoom, "message": text, "key": text}, nil)
		switch {
		case err != nil:
			if !c.r.over.Load() {
				c.r.Errorf("%s, who stays: %v", c.name, err)
			}
			return
		case a.Held != "":
			c.r.queueing.mu.Lock()
			c.r.queueing.held[a.Held] = text
			c.r.queueing.mu.Unlock()
			return
		case a.Error == "", strings.Contains(a.Error, "rejected"): // it was decided before its answer arrived
			return
		case strings.Contains(a.Error, "unknown"): // so are the answers to all repetitions, until the key is forgotten: the text may be held
			return
		case strings.Contains(a.Error, "too many of your items"): // the moderators are slower than the authors
		case !strings.Contains(a.Error, "unavailable") && !strings.Contains(a.Error, "time"):
			c.r.Errorf("%s says %q: %s", c.name, text, a.Error)
			return
		}
		c.r.breath(50 * time.Millisecond)
	}
}

// decideAll decides about the messages that wait, as far as the site reaches Redis.
func (r *round) decideAll(s *site) {
	page, _, err := s.HeldMessages(r.ctx, "default", review.Query{Kind: review.Held, Limit: 20})
	if err != nil {
		return
	}
	for i := range page {
		one := &page[i]
		d := review.Decision{Action: review.Release, By: s.node.cfg.Node}
		if strings.HasSuffix(one.Message.Text, "0.") {
			d.Action = review.Reject
		}
		if _, err := s.DecideHeld(r.ctx, "default", one.ID, d); errors.Is(err, review.ErrNone) && !r.deployment.lossy { // after a failover, its node makes it again
			r.Errorf("held message %q is lost", one.Message.Text)
		}
	}
}

// checkHeld decides about the messages that still wait. Then each author has received each message that was released, once, and none
// that was rejected; no message that was answered as held is lost.
func (r *round) checkHeld() {
	q := r.queueing
	empty := func() bool {
		r.decideAll(r.sites[0])
		page, _, err := r.sites[1].HeldMessages(r.ctx, "default", review.Query{Kind: review.Held, Limit: 1})
		return err == nil && len(page) == 0
	}
	if redistest.Await("all held messages are decided", empty) != nil {
		r.Error("held messages still wait at the end")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	released, rejected := map[string]bool{}, map[string]bool{}
	for id, text := range q.held {
		one, err := r.sites[0].HeldMessage(r.ctx, "default", id)
		switch {
		case errors.Is(err, review.ErrNone) && r.deployment.lossy && len(r.dead) > 0: // its node and its master died
		case err != nil:
			r.Errorf("held message %q: %v", text, err)
		case one.Outcome() == review.Released:
			released[text] = true
		case one.Outcome() == review.Rejected:
			rejected[text] = true
		default:
			r.Errorf("held message %q is %s", text, one.Outcome())
		}
	}
	for _, c := range q.receivers {
		lacks := func() (text string) {
			all, _ := c.received(heldRoom)
			has := map[string]bool{}
			for _, one := range all {
				has[one] = true
			}
			for one := range released {
				if !has[one] {
					return one
				}
			}
			return ""
		}
		if redistest.Await("released messages are received", func() bool { return lacks() == "" }) != nil {
			r.Errorf("%s did not receive %q, which was released", c.name, lacks())
		}
		all, _ := c.received(heldRoom)
		r.noneTwice(c, heldRoom, all)
		for _, text := range all {
			if rejected[text] {
				r.Errorf("%s received %q, which was rejected", c.name, text)
			}
		}
	}
	r.Logf("held messages: %d, of which %d were released and %d rejected", len(q.held), len(released), len(rejected))
}
