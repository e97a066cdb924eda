//go:build chaos

package redis

import (
	"fmt"
	"time"
)

// longestCut is the time after which a node has its link again, even if the other fault is not over: a node that receives nothing for
// longer than cluster.heal.for loses messages.
const longestCut = 10 * time.Second

// disturb runs a fault, or two faults within a lease.
func (r *round) disturb() {
	pick := func() fault { return r.deployment.faults[r.rng.IntN(len(r.deployment.faults))] }
	f := pick()
	switch r.rng.IntN(6) {
	case 0:
		ways := []struct {
			name string
			do   func(*link)
		}{{"cut off", (*link).disconnect}, {"frozen", (*link).freeze}, {"slow", func(w *link) { w.slow(80 * time.Millisecond) }}}
		way, w := ways[r.rng.IntN(len(ways))], r.anyLink()
		r.note(fmt.Sprintf("a node is %s, and %s", way.name, f.name))
		r.cut, r.delayed = true, r.delayed || r.deployment.lossy
		way.do(w)
		mend := time.AfterFunc(longestCut, w.mend)
		f.do(r)
		mend.Stop()
		w.mend()
	case 1:
		guest := r.guest()
		r.note("a node dies, and " + f.name)
		r.delayed = r.delayed || r.deployment.lossy
		r.kill(guest)
		f.do(r)
	case 2:
		g := pick()
		r.note(fmt.Sprintf("%s, and at once %s", f.name, g.name))
		f.do(r)
		g.do(r)
	default:
		r.note(f.name)
		f.do(r)
	}
}

// guest adds a node that publishes and has members; nil if the round has enough of them.
func (r *round) guest() *observer {
	if len(r.observers) > 7 {
		return nil
	}
	e := r.observer(fmt.Sprint("guest-", len(r.observers)))
	r.speak(e)
	r.work.Go(func() { r.churn(e) })
	r.work.Go(func() { r.churnUsers(e) })
	r.pause(500*time.Millisecond, 2*time.Second)
	return e
}

// kill ends nodes without their goodbye, at the same moment.
func (r *round) kill(nodes ...*observer) {
	for _, e := range nodes {
		if e == nil {
			continue
		}
		r.mu.Lock()
		r.dead = append(r.dead, e)
		r.mu.Unlock()
		e.link.disconnect()
	}
	for _, e := range nodes {
		if e != nil {
			e.stop(nil)
		}
	}
}

// block makes one server unreachable until mend.
func (w *link) block(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blind = address
	for c := range w.conns {
		if c.RemoteAddr().String() == address {
			_ = c.Close()
		}
	}
}
