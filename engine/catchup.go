package engine

import (
	"context"
	"encoding/json"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// A member that joins a room with history is told where the room is, and may want
// to hear what it missed, before what is said from now on, and each message once.
// So what comes is held back for it until history has been read: what is held and
// was read as well is dropped, by its position. Whatever the node was told of is
// in history, so that nothing lies between.

// recovery is how a member comes to hear what it missed.
type recovery struct {
	frames []*wire.Frame    // what it is to hear, in order
	whole  bool             // nothing is missing
	at     cluster.Position // where it goes on; the zero Position: nobody knows
}

// position is for the client; nil: there is none.
func (r *recovery) position() *cluster.Position {
	if r.at.Epoch == "" {
		return nil
	}
	return &r.at
}

// recovery reads what a member missed since, and has the rules say what it hears of
// that; nil: nothing that it would. The member is one of several that recover. Where
// history cannot be read, or the verb's time is over, something may be missing.
func (e *Engine) recovery(ctx context.Context, m *member, since *cluster.Position, several int) recovery {
	got, at, err := e.readMissed(ctx, m, since, several)
	if err != nil {
		e.log.Warn("history cannot be read", "tenant", m.room.id.Tenant, "room", m.room.id.Room, "error", err)
		return recovery{}
	}
	frames, err := e.historyFrames(ctx, m, got.messages)
	if err != nil {
		return recovery{at: at}
	}
	return recovery{frames, got.whole && !m.Gate.HoldsOther(at.Epoch), at}
}

// recover completes the answer to a roomAdd in a room with history, and has what
// was missed follow it. since is what the client heard last.
func (e *Engine) recover(ctx context.Context, m *member, since *cluster.Position, res *result) {
	r := e.recovery(ctx, m, since, 1)
	answer := struct {
		*cluster.Position
		Recovered *bool `json:"recovered,omitempty"`
	}{Position: r.position()}
	if since != nil {
		answer.Recovered = &r.whole
	}
	res.reply, _ = json.Marshal(answer) // strings, numbers and a bool
	res.after = func(ctx context.Context) { e.resume(ctx, m, r) }
}

// maxCatchUpRounds is how often a member may fall behind while it catches up, before it
// counts as a slow reader.
const maxCatchUpRounds = 8

// resume sends what was missed and then lets through what comes. A member that was
// told that nothing is missing, and falls behind, is disconnected, to come back.
func (e *Engine) resume(ctx context.Context, m *member, r recovery) {
	e.sendAll(m, r.frames)
	for at, round := r.at, 0; !m.Release(at); round++ {
		if ctx.Err() != nil && !r.whole {
			continue // with what is held from now on
		}
		more, next, err := e.readMissed(ctx, m, &at, 1)
		var frames []*wire.Frame
		if err == nil {
			frames, err = e.historyFrames(ctx, m, more.messages)
		}
		if err != nil || !more.whole || round == maxCatchUpRounds {
			e.stats.slowReaders.Add(1)
			m.conn.Close(CloseSlowReader)
			return
		}
		e.sendAll(m, frames)
		at = next
	}
}

// historyFrames are messages of the past as the member is to hear them. The error is why
// ctx has ended.
func (e *Engine) historyFrames(ctx context.Context, m *member, messages []storedAt) (frames []*wire.Frame, err error) {
	for _, p := range messages {
		text := e.historyText(ctx, m, p)
		if ctx.Err() != nil { // what text is then says nothing
			return nil, context.Cause(ctx)
		}
		if text != nil {
			frames = append(frames, wire.FrameOf(text))
		}
	}
	return frames, nil
}

// sendAll sends frames in one write.
func (e *Engine) sendAll(m *member, frames []*wire.Frame) {
	if len(frames) > 0 {
		m.conn.out.Send(wire.Join(frames))
		e.stats.deliveries.Add(uint64(len(frames)))
	}
}
