package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// No node holds a parked session, so no node notices that its user is banned. The node on which a ban of all rooms is
// set therefore ends the parked sessions of its subject. If that fails, the session cannot be resumed, because its
// client cannot connect, and it ends with its time.

// parkedBans are the bans whose parked sessions wait to be ended. The sessions are read once for all of them.
type parkedBans struct {
	mu      sync.Mutex
	waiting []moderation.Sanction
	working bool // a goroutine ends sessions
}

// parkedBanTime is the time for reading and ending the parked sessions of the bans that wait.
const parkedBanTime = time.Minute

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
	ctx, end := e.untilShutdown(context.Background())
	defer end()
	ctx, cancel := context.WithTimeout(ctx, parkedBanTime)
	defer cancel()
	byTenant := map[string]*moderation.List{}
	for _, ban := range bans {
		if byTenant[ban.Tenant] == nil {
			byTenant[ban.Tenant] = new(moderation.List)
		}
		byTenant[ban.Tenant].Set(ban)
	}
	var keys []string
	err := e.cluster.Sessions.Each(ctx, func(key string, session []byte) {
		var s struct {
			Tenant  string
			Profile struct{ User, RemoteIP string }
		}
		_ = json.Unmarshal(session, &s) // a damaged session belongs to nobody
		if list := byTenant[s.Tenant]; list != nil && list.Find(moderation.Client{User: s.Profile.User, Address: s.Profile.RemoteIP}, moderation.Ban, "") != nil {
			keys = append(keys, key)
		}
	})
	for _, key := range keys {
		b, failed := e.cluster.Sessions.Take(ctx, key)
		var s parkedSession
		switch {
		case errors.Is(failed, cluster.ErrNoSession): // it was resumed, and was checked then
		case failed != nil:
			err = errors.Join(err, failed)
		case json.Unmarshal(b, &s) == nil:
			e.endParked(ctx, &s, hook.CauseRemoved)
		}
	}
	return err
}
