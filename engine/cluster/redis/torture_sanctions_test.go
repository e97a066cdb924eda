//go:build chaos

package redis

import (
	"context"
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

// changer sets and removes the sanction of offenders.
type changer struct {
	set, remove func(by *site) error
	byClients   bool // by needs clients
}

// moderate sets and removes sanctions on random sites, for the addresses of clients on all sites: a mute and a ban by people, and a
// mute by a module. A sanction that was answered reaches each site, also if the node that set it dies. Once it holds on a site, it
// holds there until it is removed: an offender who is muted says nothing, and one who is banned receives nothing.
func (r *round) moderate() {
	for i, kind := range []moderation.Kind{moderation.Mute, moderation.Ban, moderation.Mute} {
		address := netip.AddrFrom4([4]byte{127, 0, 0, byte(77 + i)})
		sanction := moderation.Sanction{Tenant: "default", Network: netip.PrefixFrom(address, 32), Kind: kind, Rooms: plainRoom}
		ways, name := r.byPeople(sanction), string(kind)
		if i == 2 {
			ways, name = r.byModule(address), "mute by a module"
		}
		var offenders []*offender
		for k, s := range r.sites {
			o := &offender{client: r.newClient(fmt.Sprintf("%s %d", name, k)), site: s, kind: kind}
			o.from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 0))
			r.must(o.connect(s))
			r.must(o.join(plainRoom))
			offenders = append(offenders, o)
		}
		r.work.Go(func() {
			for rng := r.branch(uint64(20 + i)); !r.over.Load() && !r.late(); {
				r.sanction(rng, ways, offenders)
			}
			for _, o := range offenders {
				_ = send(o.conn, map[string]any{"event": "quit"})
			}
		})
	}
}

// byPeople changes a sanction in the store of a site.
func (r *round) byPeople(s moderation.Sanction) changer {
	r.must(s.Identify())
	return changer{
		set: func(by *site) error {
			_, err := by.sanctions.Set(r.ctx, s)
			return err
		},
		remove: func(by *site) error {
			_, err := by.sanctions.Remove(r.ctx, s.Tenant, s.ID)
			return err
		},
	}
}

// byModule changes a mute of the address by an action of a client on a site, whose module sets or pardons it.
func (r *round) byModule(address netip.Addr) changer {
	clients := map[*site]*client{}
	for _, s := range r.sites {
		clients[s] = r.newClient("client of the moderator on " + s.node.cfg.Node)
		r.must(clients[s].connect(s))
	}
	run := func(action string) func(*site) error {
		return func(by *site) error {
			return r.ask(clients[by], map[string]any{"event": "action", "params": map[string]any{"action": action, "address": address.String()}})
		}
	}
	return changer{run("mute"), run("pardon"), true}
}

// mortal returns a node without clients, which dies when die is called. It returns nil if Redis does not answer.
func (r *round) mortal() (by *site, die func()) {
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	w := &link{}
	n, err := Open(ctx, r.config("mortal", w))
	if err != nil {
		return nil, nil
	}
	s := r.sanctionsOf(n)
	return &site{node: n, sanctions: s, link: w}, func() {
		w.disconnect()
		_ = s.Close()
		_ = n.Close()
	}
}

// sanction sets a sanction, checks it for a while, and removes it.
func (r *round) sanction(rng *rand.Rand, ways changer, offenders []*offender) {
	any := func() *site { return r.sites[rng.IntN(len(r.sites))] }
	by, die := any(), func() {}
	if !ways.byClients && rng.IntN(3) == 0 {
		if one, end := r.mortal(); one != nil {
			by, die = one, end
		}
	}
	r.answered(func() error { return ways.set(by) })
	if !r.deployment.lossy { // otherwise a failover may lose the answered sanction before another node has received it
		die()
	}
	since := time.Now()
	for _, o := range offenders {
		o.await(holds, since)
	}
	if r.deployment.lossy {
		die()
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
	r.answered(func() error { return ways.remove(by) })
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
