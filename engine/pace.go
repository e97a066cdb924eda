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
	paceTime     = time.Second          // the time that members have to receive delivered messages
	pacePause    = 5 * time.Second      // after a timeout a room is not paced for this time
	paceInterval = 5 * time.Millisecond // the time between two checks
)

// Pace implements cluster.Handler. A node that reads missed messages gets many at once.
// They may exceed an outbox, and members that read at a normal rate would count as slow
// readers. The next message therefore waits until no outbox is filled by more than a
// quarter. If a member takes longer than paceTime, the room is not paced for pacePause, so
// that slow members delay the others only once; they may then be closed as slow readers.
// The cost is a check of each member's outbox every 5 ms while a room catches up, and
// nothing otherwise.
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

// settled reports whether no message of the room waits at a writer and the outboxes of its
// members have room.
func (r *room) settled() bool {
	return r.out.Settled(&r.present().Snapshot)
}

// Missed implements cluster.Handler: members receive a gap notice before the next message.
// Clients of ActionHero receive no gap notices.
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
	frame := wire.FrameOf(gapNotice(id.Room))
	which := make([]int32, len(to.members))
	for i, m := range to.members {
		if m.conn.actionHero {
			which[i] = fanout.Nothing
		}
	}
	r.out.Post(&to.Snapshot, fanout.Message{Answers: []*wire.Frame{frame}, Which: which, Size: frame.Len()})
}

// gapNotice returns the notice that messages of a room are missing.
func gapNotice(room string) []byte {
	b, err := json.Marshal(struct {
		Context string `json:"context"`
		Room    string `json:"room"`
	}{"gap", room})
	if err != nil {
		panic("engine: a notice cannot be encoded: " + err.Error()) // a notice has only strings
	}
	return b
}
