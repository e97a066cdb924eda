//go:build chaos

package redis

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

// reports are the reports of a round. Each target is reported by a client on each site.
type reports struct {
	reporters []*client

	mu       sync.Mutex
	answered map[string]int // by target: reports that were answered
	made     map[string]int // by target: reports that were answered or whose outcome is unknown
	decided  map[string]int // by target: decisions that were answered
	unknown  map[string]int // by target: decisions whose outcome is unknown
}

// reportAll makes a client on each site report the same users and the same messages, and two moderators dismiss the reports, on random
// sites.
func (r *round) reportAll() {
	r.reports = &reports{answered: map[string]int{}, made: map[string]int{}, decided: map[string]int{}, unknown: map[string]int{}}
	for i, s := range r.sites {
		c := r.newClient(fmt.Sprint("reporter", i))
		// One address may have 20 reports that wait.
		c.from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i)}), 0))
		r.must(c.connect(s))
		r.must(c.join(historyRoom))
		r.reports.reporters = append(r.reports.reporters, c)
		r.work.Go(func() {
			for k := 0; !r.over.Load() && !r.late(); k++ {
				c.reports(k)
				r.breath(200 * time.Millisecond)
			}
		})
	}
	for i := range 2 {
		rng := r.branch(uint64(90 + i))
		r.work.Go(func() {
			for !r.over.Load() && !r.late() {
				r.dismissAll(r.sites[rng.IntN(len(r.sites))])
				r.breath(time.Duration(100+rng.IntN(400)) * time.Millisecond)
			}
		})
	}
}

// reports reports the user with a number until the answer is known.
func (c *client) reports(k int) {
	target := fmt.Sprint("troll ", k)
	request := map[string]any{"event": "report", "user": target, "room": historyRoom, "reason": "rude", "notify": true}
	q, tried := c.r.reports, false
	for !c.r.late() && (!c.r.over.Load() || tried) {
		a, err := c.ask(request, nil)
		if err != nil {
			if !c.r.over.Load() {
				c.r.Errorf("%s, who stays: %v", c.name, err)
			}
			return
		}
		unknown := strings.Contains(a.Error, "unknown") || strings.Contains(a.Error, "time")
		q.mu.Lock()
		if (a.Error == "" || unknown) && !tried {
			q.made[target]++
			tried = true
		}
		if a.Error == "" {
			q.answered[target]++
		}
		q.mu.Unlock()
		if a.Error == "" {
			return
		}
		if !unknown && !strings.Contains(a.Error, "unavailable") && !strings.Contains(a.Error, "too many of your items") && !strings.Contains(a.Error, "rate limit") {
			c.r.Errorf("%s reports %q: %s", c.name, target, a.Error)
			return
		}
		c.r.breath(100 * time.Millisecond)
	}
}

// dismissAll dismisses the reports that wait, as far as the site reaches Redis.
func (r *round) dismissAll(s *site) {
	page, _, err := s.Reports(r.ctx, "default", review.Query{Limit: 20})
	if err != nil {
		return
	}
	for i := range page {
		one := &page[i]
		if one.State != review.Open {
			continue
		}
		_, err := s.ResolveReport(r.ctx, "default", one.ID, review.Decision{Action: review.Dismiss, By: s.node.cfg.Node}, moderation.Sanction{})
		r.reports.mu.Lock()
		switch {
		case err == nil:
			r.reports.decided[one.User]++
		case errors.Is(err, review.ErrNone) && !r.deployment.lossy: // after a failover, its node makes it again
			r.Errorf("the report of %q is lost", one.User)
		case !errors.Is(err, review.ErrDecided) && !errors.Is(err, review.ErrConflict):
			r.reports.unknown[one.User]++
		}
		r.reports.mu.Unlock()
	}
}

// checkReports dismisses the reports that still wait. Then each target has one report, with each reporter once, and each reporter has
// received at most one notice for each decision.
func (r *round) checkReports() {
	empty := func() bool {
		r.dismissAll(r.sites[0])
		page, _, err := r.sites[1].Reports(r.ctx, "default", review.Query{Limit: 1})
		return err == nil && len(page) == 0
	}
	if redistest.Await("all reports are decided", empty) != nil {
		r.Error("reports still wait at the end")
	}
	all := map[string][]review.Item{}
	for cursor := ""; ; {
		page, next, err := r.sites[2].Reports(r.ctx, "default", review.Query{Decided: true, Cursor: cursor, Limit: 100})
		if err != nil {
			r.Errorf("reports: %v", err)
			return
		}
		for _, one := range page {
			all[one.User] = append(all[one.User], one)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	q := r.reports
	q.mu.Lock()
	defer q.mu.Unlock()
	lossy := r.deployment.lossy && len(r.dead) > 0
	for target, answered := range q.answered {
		items := all[target]
		if len(items) == 0 && lossy { // its node and its master died
			continue
		}
		if len(items) != 1 {
			r.Errorf("%q has %d reports, want one", target, len(items))
			continue
		}
		one := &items[0]
		names := map[string]bool{}
		for _, by := range one.Reporters {
			names[by.Connection] = true
		}
		if len(names) != len(one.Reporters) || one.Reports != len(one.Reporters) || one.Reports > q.made[target] || one.Reports < answered && !lossy {
			r.Errorf("%q has %d reports by %v; %d were answered, %d made", target, one.Reports, one.Reporters, answered, q.made[target])
		}
		if q.decided[target]+q.unknown[target] == 0 {
			r.Errorf("nobody has decided about %q, which is %s", target, one.State)
		}
	}
	notices := 0
	for _, c := range q.reporters {
		c.mu.Lock()
		for target, n := range c.outcome {
			notices += n
			if n > q.decided[target]+q.unknown[target] {
				r.Errorf("%s received %d notices about %q, which was decided %d times (unknown: %d)", c.name, n, target, q.decided[target], q.unknown[target])
			}
		}
		_ = send(c.conn, map[string]any{"event": "quit"})
		c.mu.Unlock()
	}
	r.Logf("reports: %d targets, %d notices", len(q.answered), notices)
}
