//go:build chaos

package redis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// settle stops the publishing and checks the received messages.
func (r *round) settle() {
	r.note("settle")
	r.over.Store(true)
	r.work.Wait()
	r.checkHeld()
	r.checkEdits()
	r.checkReports()
	r.checkUsers()
	r.checkQuota()
	r.checkPeople()
	living := slices.DeleteFunc(slices.Clone(r.observers), func(e *observer) bool { return e.isDead(r) })
	first := living[:min(3, len(living))]
	for _, h := range r.rooms {
		for _, e := range first {
			if err := redistest.Await("all is received", func() bool { return r.missing(h, e) == "" }); err != nil {
				r.Errorf("%s (%d/s, %d kept) at %s: lost %s", h.id.Room, h.rate, h.keep.Messages, e.cfg.Node, r.missing(h, e))
			}
			r.once(h, e)
		}
		r.agree(h, first)
	}
	r.checkAmended(first)
	r.present(living)
	total, unknown := 0, 0
	for _, h := range r.rooms {
		for _, v := range h.senders {
			total += len(v.outcome)
			unknown += strings.Count(string(v.outcome), "?")
		}
	}
	for _, e := range living {
		c := e.Counters()
		if c.Gaps > 0 || c.Malformed > 0 {
			r.Errorf("%s counts %d gaps, %d malformed", e.cfg.Node, c.Gaps, c.Malformed)
		}
		r.Logf("%s: %+v", e.cfg.Node, c)
	}
	r.Logf("%s: said %d, unknown %d; %s", r.deployment.name, total, unknown, strings.Join(r.script, "; "))
}

func (e *observer) in(h *room) []spoken {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard[h.id])
}

// missing describes the accepted messages that were not received.
func (r *round) missing(h *room, e *observer) string {
	has := map[[2]int]bool{}
	for _, s := range e.in(h) {
		has[[2]int{s.sender, s.k}] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	count, text := 0, ""
	for _, v := range h.senders {
		if r.deployment.lossy && v.observer.isDead(r) {
			continue
		}
		for k, o := range v.outcome {
			if o == '+' && !has[[2]int{v.number, k}] {
				count++
				text = cmp.Or(text, fmt.Sprintf("sender %d (%s) message %d of %d", v.number, v.observer.cfg.Node, k, len(v.outcome)))
			}
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d, first %s", count, text)
}

// once checks that the observer received no message twice and each sender's messages in order,
// and that positions increase.
func (r *round) once(h *room, e *observer) {
	last := map[int]int{}
	var at cluster.Position
	twice, backwards := 0, 0
	for i, s := range e.in(h) {
		if before, ok := last[s.sender]; ok && s.k <= before {
			twice++
			if twice == 1 {
				r.Errorf("%s (%d/s) at %s: sender %d message %d at %v came after %d (number %d)", h.id.Room, h.rate, e.cfg.Node, s.sender, s.k, s.at, before, i)
			}
		}
		last[s.sender] = s.k
		if s.at.Epoch == at.Epoch && s.at.Offset <= at.Offset {
			backwards++
		}
		at = s.at
	}
	if twice > 0 || backwards > 0 {
		r.Errorf("%s at %s: %d twice or out of order, %d positions go back", h.id.Room, e.cfg.Node, twice, backwards)
	}
}

// agree checks that all observers received the same messages in the same order.
func (r *round) agree(h *room, observers []*observer) {
	if r.delayed {
		return
	}
	strip := func(all []spoken) (out [][2]int) {
		for _, s := range all {
			out = append(out, [2]int{s.sender, s.k})
		}
		return out
	}
	a := strip(observers[0].in(h))
	for _, e := range observers[1:] {
		b := strip(e.in(h))
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				r.Errorf("%s (%d/s): %s received %v and %s %v as number %d of %d and %d", h.id.Room, h.rate, observers[0].cfg.Node, a[i], e.cfg.Node, b[i], i, len(a), len(b))
				break
			}
		}
	}
}

// present checks the recorded members, and that no present member was removed.
func (r *round) present(living []*observer) {
	want := func() (all []string) {
		for _, e := range living {
			e.mu.Lock()
			for id := range e.members {
				all = append(all, id)
			}
			e.mu.Unlock()
		}
		slices.Sort(all)
		return all
	}
	listed := func() (all []string) {
		for after := ""; ; {
			page, next, err := living[0].Members(r.ctx, r.rooms[0].id, after, 100)
			r.must(err)
			for _, m := range page {
				all = append(all, m.ID)
			}
			if after = next; next == "" {
				slices.Sort(all)
				return all
			}
		}
	}
	if redistest.Await("members are on record", func() bool { return slices.Equal(want(), listed()) }) != nil {
		r.Errorf("members on record %v, want %v", listed(), want())
	}
	times := map[string]int{}
	for _, e := range r.observers {
		e.mu.Lock()
		for id, n := range e.lost {
			times[id] += n
		}
		e.mu.Unlock()
	}
	for id, n := range times {
		dead := slices.ContainsFunc(r.dead, func(e *observer) bool { return strings.HasPrefix(id, e.cfg.Node+"-") })
		if n > 1 && !r.deployment.lossy && !r.cut || !dead && !r.cut {
			r.Errorf("%s was let go %d times (its node is dead: %v)", id, n, dead)
		}
	}
}
