package engine

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/wire"
)

const (
	paceTime     = time.Second          // for members to receive what was delivered
	pacePause    = 5 * time.Second      // during which a room is not paced after its members took longer
	paceInterval = 5 * time.Millisecond // between two checks
)

// Pace implements cluster.Handler. A node that reads missed messages has them all at once,
// and they may exceed an outbox: members that read at a normal rate would count as slow
// readers. The next message therefore waits until no outbox is filled by more than a
// quarter. Members that take longer than paceTime delay the others once: the room is then
// not paced for pacePause, and they may be closed as slow readers. The cost is a check of
// each member's outbox every 5 ms while a room catches up, and nothing otherwise.
func (e *Engine) Pace(ctx context.Context, id cluster.RoomID) {
	t := e.settings.Load().tenants[id.Tenant]
	if t == nil {
		return
	}
	r := t.lookup(strings.TrimPrefix(id.Room, "\x01"))
	if r == nil {
		return
	}
	defer t.release(r)
	if r.pacingPausedUntil().After(time.Now()) || r.settled() {
		return
	}
	look := time.NewTicker(paceInterval)
	defer look.Stop()
	late := time.NewTimer(paceTime)
	defer late.Stop()
	for !r.settled() {
		select {
		case <-look.C:
		case <-late.C:
			r.pausePacing(time.Now().Add(pacePause))
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *room) pacingPausedUntil() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unpaced
}

func (r *room) pausePacing(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unpaced = until
}

// settled reports whether the writers are done with the room and its members can take more.
func (r *room) settled() bool {
	return r.out.Settled(&r.present().Snapshot)
}

// Missed implements cluster.Handler: members receive a gap notice before the next message.
// Clients of ActionHero do not.
func (e *Engine) Missed(_ context.Context, id cluster.RoomID) {
	t := e.settings.Load().tenants[id.Tenant]
	if t == nil {
		return
	}
	r := t.lookup(id.Room)
	if r == nil {
		return
	}
	defer t.release(r)
	to := r.present()
	if len(to.members) == 0 {
		return
	}
	b, err := json.Marshal(struct {
		Context string `json:"context"`
		Room    string `json:"room"`
	}{"gap", id.Room})
	if err != nil {
		panic("engine: a notice cannot be encoded: " + err.Error()) // strings
	}
	frame := wire.FrameOf(b)
	which := make([]int32, len(to.members))
	for i, m := range to.members {
		if m.conn.actionHero {
			which[i] = fanout.Nothing
		}
	}
	r.out.Post(&to.Snapshot, fanout.Message{Answers: []*wire.Frame{frame}, Which: which, Size: frame.Len()})
}
