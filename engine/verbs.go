package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/mootchat/moot/engine/wire"
)

// result is what a verb came to: data for the client, and what is to be done once
// it has its answer.
type result struct {
	data    json.RawMessage
	reply   json.RawMessage           // members of the answer beside data; nil: none
	after   func(ctx context.Context) // nil: nothing
	effects []Effect                  // applied after that
}

var done = json.RawMessage("true")

// verb carries out one verb of a connection.
type verb func(c *Connection, ctx context.Context, r *wire.Request) (result, error)

// verbsOf gives the verb's function for a dialect, nil if it has no such verb.
// "action", "quit" and "exit" are not among them: Do knows them.
func verbOf(d wire.Dialect, name string) verb {
	switch name {
	case "roomAdd":
		return (*Connection).roomAdd
	case "roomLeave":
		return (*Connection).roomLeave
	case "roomView":
		return (*Connection).roomView
	case "roomHistory":
		return (*Connection).roomHistory
	case "say":
		return (*Connection).say
	case "detailsView":
		return (*Connection).detailsView
	case "auth":
		return (*Connection).auth
	case "resume":
		return (*Connection).resume
	case "documentation":
		return (*Connection).documentation
	}
	if d == wire.Socket {
		return paramVerbOf(name)
	}
	return nil
}

// Do carries out one request and answers it, or begins it where it is an action:
// actions run beside verbs. After quit and exit the connection has begun to
// close, and what still comes is passed over: nobody would hear the answer.
func (c *Connection) Do(ctx context.Context, r wire.Request) {
	if c.closing() {
		return
	}
	c.engine.eraseTrace(ctx, c)
	id := c.messageID(&r)
	if wait := c.pay(&r); wait > 0 {
		c.engine.stats.verbs.limit(r.Verb)
		c.limited(wire.Response{ID: id, Request: r.Data, Action: r.Verb == "action"}, wait)
		return
	}
	if !c.admitted.Load() && r.Verb != "auth" && r.Verb != "quit" && r.Verb != "exit" {
		c.respond(wire.Response{ID: id, Error: errTokenFirst.Text, Request: r.Data, Action: r.Verb == "action"})
		return
	}
	if c.seat.guest && r.Verb != "resume" && r.Verb != "auth" && !c.engine.stay(c.seat) {
		c.engine.stats.refused.Add(1)
		c.Close(CloseFull)
		return
	}
	switch r.Verb {
	case "quit", "exit":
		c.actions.Wait() // what was asked before is answered
		c.Close(CloseQuit)
		return
	case "action":
		c.action(ctx, r, id)
		return
	}
	ctx, end := c.begin(ctx, &r)
	err := c.answer(ctx, &r, id)
	if end != nil {
		end(err)
	}
}

// answer carries out a verb, answers it, and does what comes after that. The
// error is the one that was answered.
func (c *Connection) answer(ctx context.Context, r *wire.Request, id json.RawMessage) error {
	begun := time.Now()
	running := c.run(ctx)
	defer running.stop()
	res, err := c.carryOut(running, r)
	if err = running.inTime(err); err != nil {
		c.fail(wire.Response{ID: id, Request: r.Data}, err)
		c.engine.stats.verbs.observe(r.Verb, err, time.Since(begun))
		return err
	}
	c.respond(wire.Response{ID: id, Data: res.data, Reply: res.reply})
	c.engine.stats.verbs.observe(r.Verb, nil, time.Since(begun))
	if res.after != nil {
		res.after(running)
	}
	c.engine.applyLater(ctx, c.tenant, res.effects, false)
	return nil
}

// fail answers a verb that failed; a Close ends the connection instead.
func (c *Connection) fail(r wire.Response, err error) {
	if why, ok := errors.AsType[Close](err); ok {
		c.Close(why)
		return
	}
	if limit, ok := errors.AsType[*LimitError](err); ok {
		c.limited(r, limit.Wait)
		return
	}
	r.Error, r.RetryAfter = c.engine.textFor(err), retryAfter(err)
	c.respond(r)
}

// retryAfter is when the client may try again, in ms; 0: err does not say.
func retryAfter(err error) int64 {
	if retry, ok := errors.AsType[*RetryError](err); ok {
		return milliseconds(retry.Wait)
	}
	return 0
}

func milliseconds(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }

func (c *Connection) carryOut(ctx context.Context, r *wire.Request) (result, error) {
	v := verbOf(c.dialect, r.Verb)
	switch {
	case v == nil && r.Verb == "":
		return result{}, &VerbError{"verb not found or not allowed (undefined)"}
	case v == nil:
		return result{}, &VerbError{fmt.Sprintf("verb not found or not allowed (%s)", r.Verb)}
	case r.Fault != "":
		return result{}, &VerbError{r.Fault}
	}
	return v(c, ctx, r)
}

// messageID is the id of the answer: the request's own, the sticky one, or a new
// one, as ActionHero makes it.
func (c *Connection) messageID(r *wire.Request) json.RawMessage {
	if r.ID != nil {
		return r.ID
	}
	c.mu.Lock()
	sticky := c.param("messageId")
	c.mu.Unlock()
	if sticky != nil {
		return sticky
	}
	return json.RawMessage(`"` + uuid.NewString() + `"`)
}

// pay takes what the request costs from the connection's bucket, or says how
// long to wait. What ActionHero's client sends again and again costs a tenth.
func (c *Connection) pay(r *wire.Request) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	price := 1.0
	switch {
	case r.Verb == "auth": // what it costs the node
		price = min(10, 2*c.tenant.cfg().Limits.VerbsPerSecond)
	case r.Verb == "detailsView", r.Verb == "roomAdd" && c.in(r.Room) != nil, paramVerbOf(r.Verb) != nil:
		price = 0.1
	}
	return c.bucket.take(time.Now(), c.tenant.cfg().Limits.VerbsPerSecond, price)
}

// limited tells the client when it may go on.
func (c *Connection) limited(r wire.Response, wait time.Duration) {
	c.engine.stats.limited.Add(1)
	r.Error = "rate limit exceeded"
	r.RetryAfter = milliseconds(wait)
	c.respond(r)
	c.Pace(1)
}

// mostPace is how long Pace waits at a time.
const mostPace = time.Second

// Pace is for a transport whose client has sent what is no request and is not
// answered as one, such as a ping; price is in verbs. Verbs that are refused for
// their rate count too. A client that goes on with such things is read no faster
// than it may send verbs: Pace waits. Else a few such clients keep all processors
// busy.
func (c *Connection) Pace(price float64) {
	c.mu.Lock()
	wait := c.excess.owe(time.Now(), c.tenant.cfg().Limits.VerbsPerSecond, price, mostPace)
	c.mu.Unlock()
	time.Sleep(wait)
}

func named(r *wire.Request) string {
	if !r.RoomGiven {
		return "undefined"
	}
	return r.Room
}

func (c *Connection) roomAdd(ctx context.Context, r *wire.Request) (result, error) {
	m, effects, err := c.engine.join(ctx, c, r.Room, wish{recover: true, watch: r.Presence})
	res := result{data: done, effects: effects}
	if err == nil && m.mode.Load() == catching {
		c.engine.recover(ctx, m, r.Since, &res)
	}
	return res, err
}

func (c *Connection) roomLeave(ctx context.Context, r *wire.Request) (result, error) {
	effects, err := c.engine.leave(ctx, c, r.Room, CauseRoomLeave)
	if err != nil && !r.RoomGiven {
		err = errNotIn(named(r))
	}
	return result{data: done, effects: effects}, err
}

func (c *Connection) say(ctx context.Context, r *wire.Request) (result, error) {
	effects, err := c.keys.once(r.Key, func() ([]Effect, error) { return c.engine.say(ctx, c, r.Room, r.Text) })
	return result{effects: effects}, err
}

// memberView is a member as roomView shows it.
type memberView struct {
	ID       string `json:"id"`
	JoinedAt int64  `json:"joinedAt"`
}

func (c *Connection) roomView(ctx context.Context, r *wire.Request) (result, error) {
	if !c.isIn(r.Room) {
		return result{}, errNotIn(named(r))
	}
	s, err := c.engine.RoomStatus(ctx, RoomID{c.tenant.name, r.Room}, r.Cursor, r.Limit)
	if err != nil {
		return result{}, err
	}
	view := struct {
		Room         string                `json:"room"`
		Members      map[string]memberView `json:"members"`
		MembersCount int                   `json:"membersCount"`
		Cursor       string                `json:"cursor,omitempty"`
	}{s.Room, make(map[string]memberView, len(s.Members)), s.MembersCount, s.Cursor}
	for _, m := range s.Members {
		view.Members[m.ID] = memberView{m.ID, m.JoinedAt}
	}
	data, err := json.Marshal(view)
	return result{data: data}, err
}

func (c *Connection) detailsView(context.Context, *wire.Request) (result, error) {
	return result{data: c.details(c.life.secret)}, nil
}

// details is what is known of the connection. session is its secret, for its client
// alone.
func (c *Connection) details(session string) json.RawMessage {
	p := c.profile.Load()
	rooms := c.Rooms()
	c.mu.Lock()
	params := c.allParams()
	total, pending := c.total, c.pending
	c.mu.Unlock()
	data, err := json.Marshal(struct {
		ID             string                     `json:"id"`
		Fingerprint    string                     `json:"fingerprint"`
		RemoteIP       string                     `json:"remoteIP"`
		RemotePort     int                        `json:"remotePort"`
		Params         map[string]json.RawMessage `json:"params"`
		ConnectedAt    int64                      `json:"connectedAt"`
		Rooms          []string                   `json:"rooms"`
		TotalActions   int                        `json:"totalActions"`
		PendingActions int                        `json:"pendingActions"`
		Session        string                     `json:"session,omitempty"`
	}{p.ID, p.Fingerprint, p.RemoteIP, p.RemotePort, params, p.ConnectedAt, rooms, total, pending, session})
	if err != nil {
		c.engine.log.Error("details were not encoded", "connection", p.ID, "error", err)
		return json.RawMessage("{}")
	}
	return data
}

// documentationOf is what the verb documentation answers.
type documentationOf struct {
	Verbs   []string             `json:"verbs"`
	Actions map[string]actionDoc `json:"actions"`
}

type actionDoc struct {
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Inputs      map[string]inputDoc `json:"inputs"`
}

type inputDoc struct {
	Required    bool   `json:"required"`
	Description string `json:"description,omitempty"`
}

func (c *Connection) documentation(context.Context, *wire.Request) (result, error) {
	doc := documentationOf{Verbs: []string{"roomAdd", "roomLeave", "roomView", "roomHistory", "say", "detailsView", "documentation", "quit", "exit", "action"},
		Actions: map[string]actionDoc{}}
	if c.tenant.cfg().Tokens != nil {
		doc.Verbs = append(doc.Verbs, "auth")
	}
	if c.life.secret != "" {
		doc.Verbs = append(doc.Verbs, "resume")
	}
	if c.dialect == wire.Socket {
		doc.Verbs = append(doc.Verbs, paramVerbs...)
	}
	actions := c.engine.middleware.Actions(c.tenant.name)
	for name, a := range actions {
		doc.Actions[name] = documented(name, a)
	}
	if _, taken := actions[createChatRoom]; !taken && c.tenant.cfg().ClientsMayCreate {
		doc.Actions[createChatRoom] = documented(createChatRoom, createChatRoomSpec)
	}
	data, err := json.Marshal(doc)
	return result{data: data}, err
}

func documented(name string, a ActionSpec) actionDoc {
	d := actionDoc{Name: name, Description: a.Description, Inputs: map[string]inputDoc{}}
	for input, spec := range a.Inputs {
		d.Inputs[input] = inputDoc(spec)
	}
	return d
}
