//go:build chaos

package redis

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/moderation"
)

// offender is a client of a site whose address is muted and unmuted, or banned from the room without history and allowed
// there again.
type offender struct {
	*client
	site *site
	kind moderation.Kind
	says int
}

// holding is whether a sanction holds for an offender.
type holding int

const (
	unclear holding = iota // the site did not get to the check
	holds
	holdsNot
)

// moderate sets and removes sanctions on random sites, for the addresses of clients on all sites. A sanction that was
// answered reaches each site. Once it holds on a site, it holds there until it is removed: an offender who is muted says
// nothing, and one who is banned receives nothing.
func (r *round) moderate() {
	for i, kind := range []moderation.Kind{moderation.Mute, moderation.Ban} {
		address := netip.AddrFrom4([4]byte{127, 0, 0, byte(77 + i)})
		var offenders []*offender
		for k, s := range r.sites {
			o := &offender{client: r.newClient(fmt.Sprintf("%s %d", kind, k)), site: s, kind: kind}
			o.from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 0))
			r.must(o.connect(s))
			r.must(o.join(plainRoom))
			offenders = append(offenders, o)
		}
		sanction := moderation.Sanction{Tenant: "default", Network: netip.PrefixFrom(address, 32), Kind: kind, Rooms: plainRoom}
		r.work.Go(func() {
			for rng := r.branch(uint64(20 + i)); !r.over.Load() && !r.late(); {
				r.sanction(rng, sanction, offenders)
			}
			for _, o := range offenders {
				_ = send(o.conn, map[string]any{"event": "quit"})
			}
		})
	}
}

// sanction sets a sanction, checks it for a while, and removes it.
func (r *round) sanction(rng *rand.Rand, s moderation.Sanction, offenders []*offender) {
	any := func() *site { return r.sites[rng.IntN(len(r.sites))] }
	by := any()
	r.answered(func() (err error) {
		stored, err := by.SetSanction(r.ctx, s)
		s.ID = stored.ID
		return err
	})
	since := time.Now()
	for _, o := range offenders {
		o.await(holds, since)
	}
	received := map[*offender]int{}
	for _, o := range offenders {
		received[o] = o.received()
	}
	for end := time.Now().Add(time.Second + time.Duration(rng.Int64N(int64(6*time.Second)))); time.Now().Before(end) && !r.over.Load(); r.breath(30 * time.Millisecond) {
		for _, o := range offenders {
			if state, answer := o.state(); state == holdsNot {
				r.Errorf("%s at %s: the sanction that %s set %.1f s ago, and that held, does not hold: %q", o.name, o.site.node.cfg.Node, by.node.cfg.Node, time.Since(since).Seconds(), answer)
				end = time.Now()
			}
		}
	}
	for _, o := range offenders {
		if n := o.received() - received[o]; o.kind == moderation.Ban && n > 0 {
			r.Errorf("%s at %s received %d messages under a ban", o.name, o.site.node.cfg.Node, n)
		}
	}
	by = any()
	r.answered(func() error {
		_, err := by.RemoveSanction(r.ctx, s.Tenant, s.ID, "")
		return err
	})
	since = time.Now()
	for _, o := range offenders {
		o.await(holdsNot, since)
	}
}

// answered repeats a change until it succeeds.
func (r *round) answered(change func() error) {
	for change() != nil && !r.late() {
		r.breath(50 * time.Millisecond)
	}
}

// await waits until the sanction holds, or does not hold.
func (o *offender) await(want holding, since time.Time) {
	last := ""
	for !o.r.late() {
		state, answer := o.state()
		if state == want {
			return
		}
		if last = answer; time.Since(since) > time.Minute {
			o.r.Errorf("%s at %s: the sanction holds: want %v, a minute after the change was answered; the last answer is %q", o.name, o.site.node.cfg.Node, want == holds, last)
			return
		}
		o.r.breath(30 * time.Millisecond)
	}
}

// state tries what the sanction forbids. It connects again if the connection has ended.
func (o *offender) state() (state holding, answered string) {
	o.says++
	request := map[string]any{"event": "say", "room": plainRoom, "message": fmt.Sprintf("%s says %d", o.name, o.says)}
	if o.kind == moderation.Ban {
		request = map[string]any{"event": "roomAdd", "room": plainRoom}
	}
	a, err := o.ask(request, func(a answer) {
		if a.Error == "" && o.kind == moderation.Ban {
			o.came(plainRoom, false, o.places[plainRoom].at)
		}
	})
	switch {
	case err != nil:
		if o.connect(o.site) == nil && o.kind == moderation.Mute {
			_ = o.join(plainRoom)
		}
		return unclear, err.Error()
	case strings.HasPrefix(a.Error, "muted"), strings.HasPrefix(a.Error, "banned"):
		return holds, a.Error
	case a.Error == "", strings.Contains(a.Error, "already in this room"):
		return holdsNot, a.Error
	case o.kind == moderation.Mute && (strings.Contains(a.Error, "unavailable") || strings.Contains(a.Error, "unknown")): // it was about to be published
		return holdsNot, a.Error
	case strings.Contains(a.Error, "not in this room"):
		_ = o.join(plainRoom)
	}
	return unclear, a.Error
}

// received returns the number of received messages of the room.
func (o *offender) received() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, piece := range o.places[plainRoom].pieces {
		n += len(piece)
	}
	return n
}
