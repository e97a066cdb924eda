package engine

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// A member that joins a room with history receives the position of the room and may ask for
// missed messages. It receives missed messages before new ones, and each message once. Its
// gate holds new messages back until history has been read; see fanout.Gate.

// recovery holds the missed messages for a member.
type recovery struct {
	frames []*wire.Frame      // in order
	whole  bool               // no message is missing
	at     cluster.Position   // the position after the frames; zero: unknown
	former []cluster.Position // the ends of the epochs before at
}

// position returns the position for the client; nil if it is unknown.
func (r *recovery) position() *cluster.Position {
	if r.at.Epoch == "" {
		return nil
	}
	return &r.at
}

// recovery reads the messages that a member missed since a position, and runs the say chain
// for them. A nil since reads no messages. several is the number of members that share the
// connection's outbox. The result is not whole if history cannot be read or the verb's time
// limit has passed.
func (e *Engine) recovery(ctx context.Context, m *member, since *cluster.Position, several int) recovery {
	if !m.keepsHistory() {
		return e.placeOf(ctx, m, since)
	}
	got, err := e.readMissed(ctx, m, since, several)
	if err == nil && m.Gate.HoldsUnclear(got.at, got.former) { // an epoch ended after the read
		got, err = e.readMissed(ctx, m, since, several)
	}
	if err != nil {
		e.warnUnread(ctx, "history cannot be read", m, err)
		return recovery{}
	}
	frames, err := e.historyFrames(ctx, m, got.messages)
	if err != nil {
		return recovery{at: got.at, former: got.former}
	}
	return recovery{frames, got.whole, got.at, got.former}
}

// warnUnread logs a failure to read a room for a member, unless its client has gone.
func (e *Engine) warnUnread(ctx context.Context, what string, m *member, err error) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		e.log.Warn(what, "tenant", m.room.id.Tenant, "room", m.room.id.Room, "error", err)
	}
}

// placeOf is recovery in a room without history. since is the position up to which the client has
// counted messages. Nothing is missing if the gate holds each message after it. The count of a
// shadowed client is not used, because it includes messages that only this client received.
func (e *Engine) placeOf(ctx context.Context, m *member, since *cluster.Position) recovery {
	got, err := e.readMissed(ctx, m, nil, 1)
	if err != nil {
		e.warnUnread(ctx, "the position of a room cannot be read", m, err)
		return recovery{}
	}
	r := recovery{at: m.Gate.Before(got.at), former: got.former}
	name := m.room.id.Room
	if since != nil && since.Epoch == r.at.Epoch && r.at.Offset <= since.Offset && since.Offset <= got.at.Offset && m.conn.sanction(moderation.Shadow, name) == nil {
		r.at, r.whole = *since, true
	}
	return r
}

// recover completes the answer to a roomAdd whose answer has a position, and sends missed
// messages after it. since is the position of the client's last message.
func (e *Engine) recover(ctx context.Context, m *member, since *cluster.Position, res *result) {
	r := e.recovery(ctx, m, since, 1)
	answer := struct {
		*cluster.Position
		Recovered *bool `json:"recovered,omitempty"`
	}{Position: r.position()}
	if since != nil {
		answer.Recovered = &r.whole
	}
	res.reply, _ = json.Marshal(answer) // it has only strings, numbers and a bool, which can be encoded
	res.after = func(ctx context.Context) { e.resume(ctx, m, r) }
}

// maxCatchUpRounds is the number of times that a member's gate may overflow while the
// member catches up. After that the member counts as a slow reader.
const maxCatchUpRounds = 8

// resume sends the missed messages and then opens the gate. If the client has an answer
// that says that nothing is missing, and the member then falls behind, resume closes the
// connection, so that the client resumes again.
func (e *Engine) resume(ctx context.Context, m *member, r recovery) {
	e.sendAll(m, r.frames)
	for at, former, round := r.at, r.former, 0; !m.Release(at, former); round++ {
		if ctx.Err() != nil && !r.whole {
			continue // catching up has ended; the member receives new messages only
		}
		if !m.keepsHistory() {
			_ = m.conn.sendValue(gapNotice(m.room.id.Room))
			continue
		}
		more, err := e.readMissed(ctx, m, &at, 1)
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
		at, former = more.at, more.former
	}
}

// historyFrames returns the frames of past messages for the member. The error is the cause
// of ctx.
func (e *Engine) historyFrames(ctx context.Context, m *member, messages []storedAt) (frames []*wire.Frame, err error) {
	for _, p := range messages {
		text := e.historyText(ctx, m, p)
		if ctx.Err() != nil { // the chain was interrupted, so text is not valid
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
