package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/fanout"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// system is the sender of messages of the server.
const system = "0"

// maxMessage is the limit for a message from a rule or the server, in bytes.
const maxMessage = 1 << 20

// maxDepth is the limit for the nesting of a JSON message of a client. The parser of frames
// accepts 64 levels, so that answers can contain messages.
const maxDepth = 32

// outgoing is a message to publish in a room.
type outgoing struct {
	conn    *Connection // nil: the sender is not a connection of this node
	from    string
	message wire.Message
	caused  bool // a module's emit caused it
}

// messageOf returns the message of a say. Clients of ActionHero send a text in any case.
func (c *Connection) messageOf(r *wire.Request) (wire.Message, error) {
	if r.Structured == "" || c.actionHero {
		return wire.Message{Text: r.Text}, nil
	}
	if c.isIn(r.Room) && !c.tenant.settings(r.Room).JSON {
		return wire.Message{}, errNoJSON
	}
	if r.Depth > maxDepth {
		return wire.Message{}, errTooDeep
	}
	return wire.Message{Text: r.Structured, JSON: true}, nil
}

// say publishes a message of a member.
func (e *Engine) say(ctx context.Context, c *Connection, room string, message wire.Message) ([]hook.Effect, error) {
	if room == "" || message.Text == "" {
		return nil, &VerbError{"both room and message are required"}
	}
	if !c.isIn(room) {
		return nil, errNotIn(room)
	}
	if len(message.Text) > c.tenant.cfg().Limits.MessageBytes { // the message can be longer than the frame that it came in
		return nil, errTooLarge
	}
	if err := c.tenant.mayPublish(); err != nil {
		return nil, err
	}
	return e.publish(ctx, c.tenant, room, outgoing{conn: c, from: c.ID(), message: message})
}

// send publishes a message and applies its effects.
func (e *Engine) send(ctx context.Context, t *tenant, room string, s outgoing) error {
	effects, err := e.publish(ctx, t, room, s)
	if err != nil {
		return err
	}
	e.applyLater(ctx, t, effects, s.caused)
	return nil
}

// publish passes the message through the room's queue. The caller applies the effects after
// it has answered the sender.
func (e *Engine) publish(ctx context.Context, t *tenant, name string, s outgoing) ([]hook.Effect, error) {
	r := t.acquire(name)
	defer t.release(r)
	effects, err := e.receive(ctx, t, r, s)
	if err != nil {
		return nil, err
	}
	return e.applyNow(ctx, t, s.conn, effects, s.caused), nil
}

// receive runs the onSayReceive chain in the room's queue and publishes the resulting
// message.
func (e *Engine) receive(ctx context.Context, t *tenant, r *room, s outgoing) ([]hook.Effect, error) {
	if err := r.queue.enter(ctx); err != nil {
		if err == errRoomBusy {
			e.stats.busy.Add(1)
		}
		return nil, err
	}
	defer r.queue.leave()

	if s.conn != nil {
		if err := s.conn.refusedBy(moderation.Mute, r.id.Room); err != nil {
			return nil, err
		}
	}
	ev := hook.Event{Hook: hook.OnSayReceive, Tenant: r.id.Tenant, Room: r.id.Room, Caused: s.caused,
		Message: s.message, From: s.from, Context: "user", SentAt: time.Now().UnixMilli()}
	if s.conn != nil {
		ev.Conn = s.conn.profile.Load()
		ev.JoinedAt = s.conn.joinedAt(ev.Room)
	}
	v := e.decide(ctx, &ev)
	if v.Outcome == hook.Dropped {
		return nil, nil
	}
	if err := refusal(&v); err != nil {
		return nil, err
	}
	to := cluster.RoomID{Tenant: r.id.Tenant, Room: ev.Room}
	if to != r.id {
		if err := e.exists(ctx, to); err != nil {
			return nil, fmt.Errorf("rewritten to room %q by %s: %w", ev.Room, v.Module, err)
		}
	}
	if len(ev.Message.Text) > maxMessage {
		return nil, errTooLarge
	}
	if s.conn != nil { // the chain may have taken long, or have named another room
		if err := s.conn.refusedBy(moderation.Mute, ev.Room); err != nil {
			return nil, err
		}
		if shadow := s.conn.sanction(moderation.Shadow, ev.Room); shadow != nil {
			return e.moderate(t, unnoticed(ev.Conn, v.Effects)), e.sayShadowed(ctx, t, &ev, shadow)
		}
	}
	payload := wire.AppendPayload(make([]byte, 0, 256+len(ev.Message.Text)), payloadOf(&ev))
	if err := e.cluster.Broker.Publish(ctx, to, payload, t.settings(to.Room).Retention); err != nil {
		return nil, err
	}
	e.stats.messages.Add(1)
	t.messages.Add(1)
	return e.moderate(t, v.Effects), nil // before the next message of the queue is checked
}

func payloadOf(ev *hook.Event) wire.Payload {
	return wire.Payload{Message: ev.Message, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt, Extra: ev.Extra}
}

// Deliver implements cluster.Handler.
func (e *Engine) Deliver(ctx context.Context, id cluster.RoomID, at cluster.Position, payload []byte) {
	t := e.settings.Load().tenants[id.Tenant]
	if t == nil || e.deliverNotice(t, id.Room, payload) {
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
	d := delivery{room: r, to: to, payload: payload, at: at, shown: set.Retention.Messages > 0, delay: set.FlushDelay}
	if !e.middleware.Asks(hook.Say, id.Tenant, id.Room) {
		e.deliverAll(&d, d.asIs())
		return
	}
	p, err := wire.ParsePayload(payload)
	if err != nil {
		e.log.Error("message dropped: not a payload", "tenant", id.Tenant, "room", id.Room, "error", err)
		return
	}
	e.deliverAsked(ctx, &d, p)
}

// delivery is a message and its receivers.
type delivery struct {
	room    *room
	to      *memberSnapshot
	payload []byte
	at      cluster.Position
	shown   bool          // members receive the position
	delay   time.Duration // the time that the message may wait for others
}

// asIs returns the frame of the message as it was published.
func (d *delivery) asIs() *wire.Frame {
	if d.shown {
		return wire.FramePlaced(d.payload, d.at)
	}
	return wire.FrameOf(d.payload)
}

// answer returns the frame of an answer of the say chain.
func (d *delivery) answer(p wire.Payload) *wire.Frame {
	if d.shown {
		p.At = d.at
	}
	return wire.NewFrame(0, func(dst []byte) []byte { return wire.AppendPayload(dst, p) })
}

// deliverAsked delivers the answers of the say chain.
func (e *Engine) deliverAsked(ctx context.Context, d *delivery, p wire.Payload) {
	r := d.room
	ev := eventOf(r.id, p, r.sequence)
	ev.Snapshot = &d.to.known
	v := e.askMembers(ctx, &ev, d.to.forMiddleware())
	if v.Release != nil {
		defer v.Release()
	}
	switch {
	case v.For != nil && len(v.For) != len(d.to.members):
		e.log.Error("message dropped: the say chain did not answer for every member", "tenant", r.id.Tenant, "room", r.id.Room)
	case v.For != nil:
		e.deliverEach(d, &v)
	case v.All == hook.AsIs, v.All == 0 && len(v.Answers) == 0:
		e.deliverAll(d, d.asIs())
	case v.All >= 0 && int(v.All) < len(v.Answers):
		e.deliverAll(d, d.answer(v.Answers[v.All]))
	}
}

// eventOf returns the event for the say chain.
func eventOf(id cluster.RoomID, p wire.Payload, sequence uint64) hook.Event {
	return hook.Event{Hook: hook.Say, Tenant: id.Tenant, Room: id.Room, Message: p.Message, From: p.From,
		Context: p.Context, SentAt: p.SentAt, Extra: p.Extra, Sequence: sequence}
}

// deliverAll sends the same frame to all members.
func (e *Engine) deliverAll(d *delivery, frame *wire.Frame) {
	d.room.out.Post(&d.to.Snapshot, fanout.Message{Frame: frame, Size: frame.Len(), At: d.at, Delay: d.delay})
	e.stats.deliveries.Add(uint64(len(d.to.members)))
}

// deliverEach sends each member its own answer. It encodes an answer once, and only if a
// member receives it.
func (e *Engine) deliverEach(d *delivery, v *hook.Delivery) {
	frames := make([]*wire.Frame, len(v.Answers)+1)
	which := make([]int32, len(d.to.members))
	asIs := len(v.Answers)
	m := fanout.Message{Answers: frames, Which: which, At: d.at, Delay: d.delay}
	receivers := uint64(0)
	for i, k := range v.For {
		switch {
		case k == hook.AsIs:
			k = int32(asIs)
		case k < 0 || int(k) >= asIs:
			which[i] = fanout.Nothing
			continue
		}
		if frames[k] == nil {
			if int(k) == asIs {
				frames[k] = d.asIs()
			} else {
				frames[k] = d.answer(v.Answers[k])
			}
			m.Size = max(m.Size, frames[k].Len())
		}
		which[i] = k
		receivers++
	}
	e.stats.deliveries.Add(receivers)
	if receivers > 0 {
		d.room.out.Post(&d.to.Snapshot, m)
	}
}

// roomDeleted is the last message of a room that is destroyed.
var roomDeleted = wire.Message{Text: "this room has been deleted"}

// jsonMessage returns a message that was sent as JSON. A JSON string becomes a text.
func jsonMessage(value json.RawMessage) (wire.Message, error) {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return wire.Message{Text: text}, nil
	}
	if !json.Valid(value) {
		return wire.Message{}, &VerbError{"message is not JSON"}
	}
	return wire.Message{Text: string(value), JSON: true}, nil
}
