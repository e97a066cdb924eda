package engine

import (
	"context"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// The texts of the notices for members that did not ask for amendments, in rooms with amendmentNotices.
const (
	noticeRetracted = "a message was retracted"
	noticeEdited    = "a message was edited"
)

// Amended implements cluster.Handler. The say chain runs for an edit as it does for a message. Frames
// that wait in an outbox do not change: a slow member receives the message, and then its amendment.
func (e *Engine) Amended(ctx context.Context, id cluster.RoomID, at cluster.Position, a cluster.Amendment) {
	t := e.settings.Load().tenants[id.Tenant]
	if t == nil {
		return
	}
	r := t.lookup(id.Room)
	if r == nil {
		return
	}
	defer t.release(r)
	to := r.receivers(at)
	if len(to.members) == 0 {
		return
	}
	r.sequence++
	set := t.settings(id.Room)
	d := delivery{room: r, to: to, payload: a.Payload, at: at, delay: set.FlushDelay, amends: a.Message, retracts: a.Retract}
	if set.Retention.Messages > 0 {
		d.shown = at
	}
	v := hook.Delivery{All: hook.AsIs}
	if !a.Retract && e.middleware.Asks(hook.Say, id.Tenant, id.Room) {
		p, err := wire.ParsePayload(a.Payload)
		if err != nil {
			e.log.Error("message dropped: not a payload", "tenant", id.Tenant, "room", id.Room, "error", err)
			return
		}
		ev := eventOf(id, p, r.sequence)
		ev.Edits, ev.Snapshot = a.Message, &to.known
		if v = e.askMembers(ctx, &ev, to.forMiddleware()); v.Release != nil {
			defer v.Release()
		}
		d.answers, d.origin = v.Answers, p
	}
	e.deliverAmendment(&d, &v, set.AmendmentNotices)
}

// deliverAmendment sends each member that asked for amendments its answer. The other members receive a notice if
// notices is set, and otherwise nothing.
func (e *Engine) deliverAmendment(d *delivery, v *hook.Delivery, notices bool) {
	const notice, first = 0, 2 // indexes of frames: the notice, and the first answer; frame 1 is the amendment as it was published
	m := fanout.Message{At: d.at, Delay: d.delay, Answers: make([]*wire.Frame, first+len(d.answers)), Which: make([]int32, len(d.to.members))}
	receivers := uint64(0)
	for i, member := range d.to.members {
		k := int32(notice)
		if member.amends {
			k = first + answerFor(v, i)
		}
		if k >= int32(len(m.Answers)) || k < notice || k == notice && (member.amends || !notices) {
			m.Which[i] = fanout.Nothing
			continue
		}
		if m.Answers[k] == nil {
			if k == notice {
				m.Answers[k] = wire.FrameOf(d.notice())
			} else {
				m.Answers[k] = d.frame(k-first, 0)
			}
			m.Size = max(m.Size, m.Answers[k].Len())
		}
		m.Which[i] = k
		receivers++
	}
	e.stats.deliveries.Add(receivers)
	if receivers > 0 {
		d.room.out.Post(&d.to.Snapshot, m)
	}
}

// answerFor returns the answer for member i: an index of v.Answers, hook.AsIs or hook.Nothing.
func answerFor(v *hook.Delivery, i int) int32 {
	switch {
	case v.For != nil && i < len(v.For):
		return v.For[i]
	case v.For != nil:
		return hook.Nothing
	case v.All == 0 && len(v.Answers) == 0:
		return hook.AsIs
	}
	return v.All
}

// notice returns the payload of the plain notice of an amendment.
func (d *delivery) notice() []byte {
	text := noticeEdited
	if d.retracts {
		text = noticeRetracted
	}
	return wire.AppendPayload(nil, wire.Payload{Message: wire.Message{Text: text}, Room: d.room.id.Room, From: system, Context: "user",
		SentAt: time.Now().UnixMilli(), At: d.shown})
}

// amendmentFrame returns the frame of an answer, or of the amendment as it was published.
func (d *delivery) amendmentFrame(answer int32) *wire.Frame {
	payload := d.payload
	if answer != hook.AsIs {
		p := d.answers[answer]
		p.SetOrigin(&d.origin)
		payload = wire.AppendPayload(nil, p)
	}
	return wire.NewFrame(len(payload), func(dst []byte) []byte {
		return wire.AppendAmendment(dst, d.retracts, d.amends, payload, d.shown)
	})
}
