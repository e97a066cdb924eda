package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// result is the result of a verb that succeeded.
type result struct {
	data    json.RawMessage           // data of the answer; nil: it has none
	reply   json.RawMessage           // an object with further members of the answer; nil: none
	after   func(ctx context.Context) // runs after the answer; nil: nothing runs
	effects []hook.Effect             // applied after the answer and after
}

var done = json.RawMessage("true")

// verbFunc runs one verb of a connection.
type verbFunc func(c *Connection, ctx context.Context, r *wire.Request) (result, error)

// verbFuncOf returns the function of a verb of wire.Verbs. It returns nil for action, quit
// and exit, which Do handles.
func verbFuncOf(name string) verbFunc {
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
	case "heldView":
		return (*Connection).heldView
	case "heldWithdraw":
		return (*Connection).heldWithdraw
	case "retract":
		return (*Connection).retract
	case "edit":
		return (*Connection).edit
	case "report":
		return (*Connection).report
	case "detailsView":
		return (*Connection).detailsView
	case "auth":
		return (*Connection).auth
	case "resume":
		return (*Connection).resume
	case "documentation":
		return (*Connection).documentation
	case "paramAdd":
		return (*Connection).paramAdd
	case "paramDelete":
		return (*Connection).paramDelete
	case "paramView":
		return (*Connection).paramView
	case "paramsView":
		return (*Connection).paramsView
	case "paramsDelete":
		return (*Connection).paramsDelete
	}
	return nil
}

// Do runs a verb and answers it. It starts an action and returns, because actions run
// concurrently. After quit and exit the connection is closing, and Do ignores further
// requests, whose answers would not be sent.
func (c *Connection) Do(ctx context.Context, r wire.Request) {
	if c.closing() {
		return
	}
	c.engine.removeRedirect(ctx, c)
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
	if c.reservation.resumeOnly && r.Verb != "resume" && r.Verb != "auth" && !c.engine.keepPlace(c.reservation) {
		c.engine.stats.refused.Add(1)
		c.Close(CloseFull)
		return
	}
	switch r.Verb {
	case "quit", "exit":
		c.actions.Wait() // waits for the answers to earlier actions
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

// answer runs a verb, answers it, and then runs its after function and applies its effects.
// It returns the error of the answer.
func (c *Connection) answer(ctx context.Context, r *wire.Request, id json.RawMessage) error {
	begun := time.Now()
	running := c.startVerb(ctx)
	defer running.stop()
	res, err := c.runVerb(running, r)
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

// fail answers a verb that failed. A Close ends the connection instead.
func (c *Connection) fail(r wire.Response, err error) {
	if why, ok := errors.AsType[Close](err); ok {
		c.Close(why)
		return
	}
	if limit, ok := errors.AsType[*LimitError](err); ok {
		c.limited(r, limit.Wait)
		return
	}
	c.explain(&r, err)
	c.respond(r)
}

// explain sets the error of a response, with the time and the number that err has for the
// client.
func (c *Connection) explain(r *wire.Response, err error) {
	r.Error, r.RetryAfter = c.engine.textFor(err), retryAfter(err)
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		r.Code = denied.Code
	}
}

// retryAfter returns the time in ms after which the client may try again; 0 if err has
// none.
func retryAfter(err error) int64 {
	if retry, ok := errors.AsType[*RetryError](err); ok {
		return milliseconds(retry.Wait)
	}
	return 0
}

func milliseconds(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }

func (c *Connection) runVerb(ctx context.Context, r *wire.Request) (result, error) {
	v, run := wire.FindVerb(r.Verb), verbFuncOf(r.Verb)
	switch {
	case r.Verb == "":
		return result{}, &VerbError{"verb not found or not allowed (undefined)"}
	case v == nil || run == nil || v.Listed == wire.OnSocket && c.dialect != wire.Socket:
		return result{}, &VerbError{fmt.Sprintf("verb not found or not allowed (%s)", r.Verb)}
	case r.Fault != "":
		return result{}, &VerbError{r.Fault}
	}
	return run(c, ctx, r)
}

// messageID returns the id for the answer: that of the request, the sticky one, or,
// as in ActionHero, a new one.
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

// pay takes the price of the request from the connection's bucket. If the bucket has fewer
// tokens, it takes none and returns the time to wait.
func (c *Connection) pay(r *wire.Request) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := c.tenant.cfg().Limits.VerbsPerSecond
	price := 1.0
	if v := wire.FindVerb(r.Verb); v != nil {
		price = min(v.Price, 2*rate) // the bucket holds no more
	}
	if r.Verb == "roomAdd" && c.membershipIn(r.Room) != nil {
		price = priceOfRepeatedJoin
	}
	return c.bucket.take(time.Now(), rate, price)
}

// priceOfRepeatedJoin is low because ActionHero's client repeats roomAdd.
const priceOfRepeatedJoin = 0.1

// limited answers a request over the rate limit with the time to wait, and slows the
// client.
func (c *Connection) limited(r wire.Response, wait time.Duration) {
	c.engine.stats.limited.Add(1)
	r.Error = "rate limit exceeded"
	r.RetryAfter = milliseconds(wait)
	c.respond(r)
	c.Pace(1)
}

// maxPace is the maximum wait of a call of Pace.
const maxPace = time.Second

// Pace slows a client that sends other input than requests, such as pings, to the rate of
// its verbs. It waits until the connection could send verbs of that price again, but at
// most a second. Verbs over the rate limit count as well. Without Pace, a few such clients
// could keep all processors busy.
func (c *Connection) Pace(price float64) {
	c.mu.Lock()
	wait := c.excess.charge(time.Now(), c.tenant.cfg().Limits.VerbsPerSecond, price, maxPace)
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
	options := joinOptions{recover: true, place: r.Since != nil, watch: r.Presence, inform: r.Moderation, amend: r.Amendments}
	m, effects, err := c.engine.join(ctx, c, r.Room, options)
	res := result{data: done, effects: effects}
	if err == nil && m.Gate.Holding() {
		c.engine.recover(ctx, m, r.Since, &res)
	}
	return res, err
}

func (c *Connection) roomLeave(ctx context.Context, r *wire.Request) (result, error) {
	effects, err := c.engine.leave(ctx, c, r.Room, hook.CauseRoomLeave)
	if err != nil && !r.RoomGiven {
		err = errNotIn(named(r))
	}
	return result{data: done, effects: effects}, err
}

func (c *Connection) say(ctx context.Context, r *wire.Request) (result, error) {
	message, err := c.messageOf(r)
	if err != nil {
		return result{}, err
	}
	publish := func() (accepted, error) { return c.engine.say(ctx, c, r.Room, message, r.Key) }
	once := publish
	if r.Key != "" {
		once = func() (accepted, error) { return c.usedKeys().once(r.Key, publish) }
	}
	a, err := once()
	if a.again && a.held != "" {
		a, err = c.answerAgain(ctx, a)
	}
	res := result{effects: a.effects}
	switch {
	case c.actionHero:
	case a.held != "":
		res.reply = json.RawMessage(`{"held":"` + a.held + `"}`)
	case a.id != "":
		res.reply = json.RawMessage(`{"id":"` + a.id + `"}`)
	}
	return res, err
}

func (c *Connection) roomView(ctx context.Context, r *wire.Request) (result, error) {
	if !c.isIn(r.Room) {
		return result{}, errNotIn(named(r))
	}
	if err := c.awaitReader(ctx); err != nil {
		return result{}, err
	}
	var s RoomStatus
	var err error
	late := c.tenant.reads.take(ctx, func() {
		s, err = c.engine.RoomStatus(ctx, cluster.RoomID{Tenant: c.tenant.name, Room: r.Room}, r.Cursor, r.Limit)
	})
	if late != nil {
		err = late
	}
	if err != nil {
		return result{}, err
	}
	var data []byte
	err = c.tenant.pages.take(ctx, func() { data = appendMembersPage(make([]byte, 0, bytesPerMember*len(s.Members)+256), s, c.actionHero) })
	c.chargePage(len(data))
	return result{data: data}, err
}

func (c *Connection) detailsView(context.Context, *wire.Request) (result, error) {
	return result{data: c.details(c.session.secret)}, nil
}

// details describes the connection. session is the secret of its session, which only its
// own client may see; "" leaves it out.
func (c *Connection) details(session string) json.RawMessage {
	p := c.profile.Load()
	rooms := c.Rooms()
	c.mu.Lock()
	params := c.allParams()
	total, pending := c.totalActions, c.pendingActions
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

// documented is the answer to the verb documentation.
type documented struct {
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
	doc := documented{Actions: map[string]actionDoc{}}
	listed := map[wire.Listed]bool{wire.Always: true, wire.WithTokens: c.tenant.cfg().Tokens != nil,
		wire.WithSessions: c.session.secret != "", wire.OnSocket: c.dialect == wire.Socket, wire.WithReview: c.engine.review != nil}
	for i := range wire.Verbs {
		if v := &wire.Verbs[i]; listed[v.Listed] {
			doc.Verbs = append(doc.Verbs, v.Name)
		}
	}
	actions := c.engine.middleware.Actions(c.tenant.name)
	for name, a := range actions {
		doc.Actions[name] = docOf(name, a)
	}
	if _, taken := actions[createChatRoom]; !taken && c.tenant.cfg().ClientsMayCreate {
		doc.Actions[createChatRoom] = docOf(createChatRoom, createChatRoomSpec)
	}
	data, err := json.Marshal(doc)
	return result{data: data}, err
}

func docOf(name string, a hook.ActionSpec) actionDoc {
	d := actionDoc{Name: name, Description: a.Description, Inputs: map[string]inputDoc{}}
	for input, spec := range a.Inputs {
		d.Inputs[input] = inputDoc(spec)
	}
	return d
}
