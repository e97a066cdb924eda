package engine

import (
	"context"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/moderation"
)

// No node notices that the user of a parked session is banned. The node on which a ban of all rooms is set therefore ends the
// parked sessions of its subject. If that fails, a session cannot be resumed, because its client cannot connect, and it ends
// with its time.

// parkedBans are the bans whose parked sessions wait to be ended. The sessions are read once for all of them.
type parkedBans struct {
	mu      sync.Mutex
	waiting []moderation.Sanction
	working bool // a goroutine ends sessions
}

// parkedTime is the time for reading all parked sessions, and for ending those of users who are banned or were closed.
const parkedTime = time.Minute

// add begins to end the parked sessions of the subject of a ban, and does not wait.
func (p *parkedBans) add(e *Engine, ban moderation.Sanction) {
	if e.sessions.grace == 0 || e.cluster.Sessions == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, ban)
	if !p.working {
		p.working = true
		e.enforcing.Go(func() {
			for bans := p.next(); len(bans) > 0; bans = p.next() {
				if err := e.endBannedSessions(bans); err != nil {
					e.log.Warn("parked sessions of banned users were not ended: they end with their time", "bans", len(bans), "error", err)
				}
			}
		})
	}
}

// next returns the bans that wait. If there are none, the goroutine ends.
func (p *parkedBans) next() []moderation.Sanction {
	p.mu.Lock()
	defer p.mu.Unlock()
	bans := p.waiting
	p.waiting, p.working = nil, len(bans) > 0
	return bans
}

// endBannedSessions ends the parked sessions for which one of the bans holds.
func (e *Engine) endBannedSessions(bans []moderation.Sanction) error {
	byTenant := map[string]*moderation.List{}
	for _, ban := range bans {
		if byTenant[ban.Tenant] == nil {
			byTenant[ban.Tenant] = new(moderation.List)
		}
		byTenant[ban.Tenant].Set(ban)
	}
	_, err := e.endParkedOf(context.Background(), func(o parkedOwner) bool {
		list := byTenant[o.Tenant]
		return list != nil && list.Find(moderation.Client{User: o.Profile.User, Address: o.Profile.RemoteIP}, moderation.Ban, "") != nil
	})
	return err
}
