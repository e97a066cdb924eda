package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/events"
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

	mayBeHeld bool   // a client says the message, so that rules may hold it
	key       string // the idempotency key of the say; "": none
}

// silenced returns the error for a sender that is muted or banned in the room, or nil.
func (s *outgoing) silenced(room string) error {
	if s.conn == nil {
		return nil
	}
	return s.conn.silenced(room)
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

// accepted is a message that was accepted. The caller applies the effects.
type accepted struct {
	id      string // "" in an ephemeral room
	held    string // the id under which the message is held; "": it is not held
	again   bool   // an earlier say with the same key was accepted; id and held are those of its answer
	effects []hook.Effect
	event   *events.Write // nil: no sink of the tenant receives messages
}

// say publishes a message of a member, or holds it.
func (e *Engine) say(ctx context.Context, c *Connection, room string, message wire.Message, key string) (accepted, error) {
	if room == "" || message.Text == "" {
		return accepted{}, &VerbError{"both room and message are required"}
	}
	if !c.isIn(room) {
		return accepted{}, errNotIn(room)
	}
	if len(message.Text) > c.tenant.cfg().Limits.MessageBytes { // the message can be longer than the frame that it came in
		return accepted{}, errTooLarge
	}
	if err := c.tenant.mayPublish(); err != nil {
		return accepted{}, err
	}
	return e.publish(ctx, c.tenant, room, outgoing{conn: c, from: c.ID(), message: message, mayBeHeld: true, key: key})
}

// send publishes a message, applies its effects and returns its id.
func (e *Engine) send(ctx context.Context, t *tenant, room string, s outgoing) (id string, err error) {
	a, err := e.publish(ctx, t, room, s)
	if err != nil {
		return "", err
	}
	e.applyLater(ctx, t, a.effects, s.caused)
	return a.id, nil
}

// publish passes the message through the room's queue. The caller applies the effects after
// it has answered the sender.
func (e *Engine) publish(ctx context.Context, t *tenant, name string, s outgoing) (accepted, error) {
	r := t.acquire(name)
	defer t.release(r)
	a, err := e.receive(ctx, t, r, s)
	if err != nil {
		return accepted{}, err
	}
	e.written(ctx, a.event)
	a.effects = e.applyNow(ctx, t, s.conn, a.effects, s.caused)
	return a, nil
}

// receive runs the onSayReceive chain in the room's queue and publishes the resulting
// message. A message that a module drops has an id as well, so that the answer does not reveal the drop.
func (e *Engine) receive(ctx context.Context, t *tenant, r *room, s outgoing) (a accepted, err error) {
	if err := r.queue.enter(ctx); err != nil {
		if err == errRoomBusy {
			e.stats.busy.Add(1)
		}
		return a, err
	}
	defer r.queue.leave()

	if err := s.silenced(r.id.Room); err != nil {
		return a, err
	}
	ev := hook.Event{Hook: hook.OnSayReceive, Tenant: r.id.Tenant, Room: r.id.Room, Caused: s.caused,
		Message: s.message, From: s.from, Context: "user", SentAt: time.Now().UnixMilli(), Waiter: &r.queue}
	if s.conn != nil {
		ev.Conn = s.conn.profile.Load()
		ev.JoinedAt = s.conn.joinedAt(ev.Room)
	}
	settings := t.settings(ev.Room)
	e.setMessageID(&ev, &settings)
	v := e.decide(ctx, &ev)
	if v.Waited > 0 {
		if err := e.stillIn(ctx, r, s.conn, ev.JoinedAt); err != nil {
			return a, err
		}
	}
	moved := ev.Room != r.id.Room
	if moved || v.Waited > 0 {
		settings = t.settings(ev.Room)
	}
	if moved {
		e.setMessageID(&ev, &settings)
	}
	return e.applyVerdict(ctx, t, r, &s, &ev, &v, &settings)
}

// applyVerdict publishes a message, holds it or refuses it. settings are those of its room. The caller has its turn in the queue
// of r, in which the message was said.
func (e *Engine) applyVerdict(ctx context.Context, t *tenant, r *room, s *outgoing, ev *hook.Event, v *hook.Verdict, settings *RoomSettings) (a accepted, err error) {
	a.id = ev.MessageID
	if v.Outcome == hook.Dropped {
		return a, nil
	}
	if v.Outcome != hook.Held {
		if err := refusal(v); err != nil {
			return a, err
		}
	}
	to := cluster.RoomID{Tenant: r.id.Tenant, Room: ev.Room}
	if to != r.id {
		if err := e.exists(ctx, to); err != nil {
			return a, fmt.Errorf("rewritten to room %q by %s: %w", ev.Room, v.Module, err)
		}
	}
	if len(ev.Message.Text) > maxMessage {
		return a, errTooLarge
	}
	sanctioned := s.conn != nil && s.conn.sanctioned() // now: the chain may have taken long, or have named another room
	if sanctioned {
		if err := s.silenced(ev.Room); err != nil {
			return a, err
		}
	}
	if v.Outcome == hook.Held {
		held, err := e.hold(ctx, t, s, ev, v, r.id.Room, a.id)
		return accepted{held: held}, err
	}
	if sanctioned {
		if shadow := s.conn.sanction(moderation.Shadow, ev.Room); shadow != nil {
			a.effects = e.moderate(t, unnoticed(ev.Conn, v.Effects))
			return a, e.sayShadowed(ctx, t, payloadOf(ev, a.id, s.user(ev, settings)), ev.Conn, shadow)
		}
	}
	p := payloadOf(ev, a.id, s.user(ev, settings))
	payload := wire.AppendPayload(make([]byte, 0, 256+len(ev.Message.Text)), p)
	if err := e.cluster.Broker.Publish(ctx, to, payload, settings.Retention); err != nil {
		return a, err
	}
	a.event = e.messageEvent(ev, p)
	e.stats.messages.Add(1)
	t.messages.Add(1)
	a.effects = e.moderate(t, v.Effects) // before the next message of the queue is checked
	return a, nil
}

// stillIn returns an error if, while the chain waited for a service, the sender has left the room (even if it has joined again), or
// the room was destroyed. A nil sender is not a connection of this node.
func (e *Engine) stillIn(ctx context.Context, r *room, sender *Connection, joinedAt int64) error {
	if sender != nil && sender.joinedAt(r.id.Room) != joinedAt {
		return errNotIn(r.id.Room)
	}
	return e.exists(ctx, r.id)
}

// user returns the user that the message names; "": none. A module that has changed the sender hides
// the user as well.
func (s *outgoing) user(ev *hook.Event, settings *RoomSettings) string {
	if s.conn == nil || !settings.Users || ev.From != s.from {
		return ""
	}
	return ev.Conn.User
}

func payloadOf(ev *hook.Event, id, user string) wire.Payload {
	return wire.Payload{ID: id, User: user, Message: ev.Message, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt, Extra: ev.Extra}
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
	d := delivery{room: r, to: to, payload: payload, at: at, delay: set.FlushDelay}
	if set.Retention.Messages > 0 {
		d.shown = at
	}
	if !e.middleware.Asks(hook.Say, id.Tenant, id.Room) {
		e.deliverAll(&d, hook.AsIs)
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
	answers []wire.Payload // of the say chain
	origin  wire.Payload   // the published message, of which the answers are forms
	at      cluster.Position
	shown   cluster.Position // the position that members receive; zero: none
	delay   time.Duration    // the time that the message may wait for others

	amends   string // the id of the message that this amendment changes; "": it is not an amendment
	retracts bool
}

// frame returns the frame of an answer, or of the message as it was published (hook.AsIs). If
// plain is 1, the frame is for clients of ActionHero.
func (d *delivery) frame(answer, plain int32) *wire.Frame {
	switch {
	case d.amends != "":
		return d.amendmentFrame(answer)
	case answer == hook.AsIs && plain == 1:
		return wire.FramePlain(d.payload, d.shown)
	case answer == hook.AsIs:
		return wire.FramePlaced(d.payload, d.shown)
	}
	p := d.answers[answer]
	if p.At = d.shown; plain == 0 {
		p.SetOrigin(&d.origin)
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
	d.answers, d.origin = v.Answers, p
	switch {
	case v.For != nil && len(v.For) != len(d.to.members):
		e.log.Error("message dropped: the say chain did not answer for every member", "tenant", r.id.Tenant, "room", r.id.Room)
	case v.For != nil:
		e.deliverEach(d, &v)
	case v.All == hook.AsIs, v.All == 0 && len(v.Answers) == 0:
		e.deliverAll(d, hook.AsIs)
	case v.All >= 0 && int(v.All) < len(v.Answers):
		e.deliverAll(d, v.All)
	}
}

// eventOf returns the event for the say chain.
func eventOf(id cluster.RoomID, p wire.Payload, sequence uint64) hook.Event {
	return hook.Event{Hook: hook.Say, Tenant: id.Tenant, Room: id.Room, Message: p.Message, From: p.From,
		Context: p.Context, SentAt: p.SentAt, Extra: p.Extra, Sequence: sequence, MessageID: p.ID}
}

// deliverAll sends the same answer to all members.
func (e *Engine) deliverAll(d *delivery, answer int32) {
	m := fanout.Message{At: d.at, Delay: d.delay}
	switch plain := d.to.plain; {
	case plain == nil:
		m.Frame = d.frame(answer, 0)
		m.Size = m.Frame.Len()
	case !slices.Contains(plain, 0):
		m.Frame = d.frame(answer, 1)
		m.Size = m.Frame.Len()
	default:
		m.Answers, m.Which = []*wire.Frame{d.frame(answer, 0), d.frame(answer, 1)}, plain
		m.Size = m.Answers[0].Len()
	}
	d.room.out.Post(&d.to.Snapshot, m)
	e.stats.deliveries.Add(uint64(len(d.to.members)))
}

// deliverEach sends each member its own answer. It encodes an answer once, or twice if clients
// of ActionHero receive it as well, and only if a member receives it.
func (e *Engine) deliverEach(d *delivery, v *hook.Delivery) {
	frames := make([]*wire.Frame, 2*(len(v.Answers)+1))
	which := make([]int32, len(d.to.members))
	m := fanout.Message{Answers: frames, Which: which, At: d.at, Delay: d.delay}
	receivers := uint64(0)
	for i, answer := range v.For {
		plain := d.to.plainAt(i)
		k := 2*(answer-hook.AsIs) + plain
		if k < 0 || int(k) >= len(frames) {
			which[i] = fanout.Nothing
			continue
		}
		if frames[k] == nil {
			frames[k] = d.frame(answer, plain)
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
