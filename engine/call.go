package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// call is a request of one node to another, or to itself.
type call struct {
	Do         string          `json:"do"`
	Tenant     string          `json:"tenant,omitempty"`
	Connection string          `json:"connection,omitempty"`
	Room       string          `json:"room,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
	Limit      int             `json:"limit,omitempty"`
	User       string          `json:"user,omitempty"`
	Reason     string          `json:"reason,omitempty"` // for the client, of callLeave and callClose

	Properties map[string]json.RawMessage `json:"properties,omitempty"`
}

const (
	callEvict   = "evict"
	callList    = "list"
	callDetails = "details"
	callSend    = "send"
	callSay     = "say"
	callSet     = "set"
	callJoin    = "join"
	callLeave   = "leave"
	callClose   = "close"

	callHandOver = "handOver" // a session
	callShadowed = "shadowed" // a message

	callSendUser  = "sendUser"
	callCloseUser = "closeUser"

	callOutcome = "outcome" // of a held message
)

// answer is the answer of a node to a call.
type answer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
	Kind  string          `json:"kind,omitempty"` // the error's key in errorKinds; "" for other errors
	Wait  time.Duration   `json:"wait,omitempty"` // ns, of a *RetryError
}

// errorKinds lists the errors that keep their identity between nodes.
var errorKinds = map[string]error{
	"room": cluster.ErrNoRoom, "roomExists": cluster.ErrRoomExists, "unavailable": cluster.ErrUnavailable,
	"unknown": cluster.ErrUnknown, "session": cluster.ErrNoSession, "tenant": ErrNoTenant, "connection": ErrNoConnection,
	"time": context.DeadlineExceeded,
}

// Answer implements cluster.Handler.
func (e *Engine) Answer(ctx context.Context, request []byte) ([]byte, error) {
	var c call
	if err := json.Unmarshal(request, &c); err != nil {
		return nil, fmt.Errorf("call from another node is not valid: %w", err)
	}
	value, err := e.handleCall(ctx, c)
	a := answer{Value: value}
	if err != nil {
		a.Error = err.Error()
		if verb := (*VerbError)(nil); errors.As(err, &verb) {
			a.Kind = "verb"
		}
		if retry, ok := errors.AsType[*RetryError](err); ok {
			a.Wait = retry.Wait
		}
		for kind, known := range errorKinds {
			if errors.Is(err, known) {
				a.Kind = kind
			}
		}
	}
	return json.Marshal(a)
}

func (a *answer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Wait > 0 && a.Error == errRetry.Text:
		return &RetryError{Wait: a.Wait}
	case a.Wait > 0:
		return &RetryError{a.Wait, a.Error}
	case a.Kind == "verb":
		return &VerbError{a.Error}
	case errorKinds[a.Kind] != nil:
		return errorKinds[a.Kind]
	}
	return errors.New(a.Error)
}

// ask sends a call to a node, which may be this one, and returns the answer.
func (e *Engine) ask(ctx context.Context, node string, c call) (json.RawMessage, error) {
	if node == e.cluster.Nodes.Self() {
		return e.handleCall(ctx, c)
	}
	request, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	reply, err := e.cluster.Nodes.Call(ctx, node, request)
	if err != nil {
		return nil, err
	}
	var a answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return nil, fmt.Errorf("answer of node %s is not understood: %w", node, err)
	}
	return a.Value, a.err()
}

func (e *Engine) askConnection(ctx context.Context, tenant, id string, c call) (json.RawMessage, error) {
	c.Tenant, c.Connection = tenant, id
	value, err := e.ask(ctx, nodeOf(id), c)
	if !errors.Is(err, cluster.ErrNoNode) && !errors.Is(err, ErrNoConnection) {
		return value, err
	}
	return e.askOtherNodes(ctx, id, c)
}

// askOtherNodes sends a call to the nodes that the connection's id does not name. The
// session may have moved to one of them.
func (e *Engine) askOtherNodes(ctx context.Context, id string, c call) (json.RawMessage, error) {
	if e.sessions.grace > 0 {
		nodes, err := e.cluster.Nodes.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, node := range nodes {
			if node == nodeOf(id) {
				continue
			}
			value, err := e.ask(ctx, node, c)
			if !errors.Is(err, cluster.ErrNoNode) && !errors.Is(err, ErrNoConnection) {
				return value, err
			}
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrNoConnection, id)
}

func (e *Engine) onConnection(ctx context.Context, tenant, id string, c call) error {
	_, err := e.askConnection(ctx, tenant, id, c)
	return err
}

// onEveryNode sends a call to all nodes at once, so that a slow node delays no other node.
// It returns the number of nodes that answered. A node that has left the cluster is no
// error.
func (e *Engine) onEveryNode(ctx context.Context, c call) (int, error) {
	nodes, err := e.cluster.Nodes.List(ctx)
	if err != nil {
		return 0, err
	}
	var done atomic.Int64
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			switch _, err := e.ask(ctx, n, c); {
			case err == nil:
				done.Add(1)
			case !errors.Is(err, cluster.ErrNoNode):
				errs[i] = fmt.Errorf("node %s: %w", n, err)
			}
		})
	}
	all.Wait()
	return int(done.Load()), errors.Join(errs...)
}

func (e *Engine) handleCall(ctx context.Context, c call) (json.RawMessage, error) {
	if c.Do == callOperator {
		return e.answerOperator(ctx, c.Value)
	}
	t, err := e.tenant(c.Tenant)
	if err != nil {
		return nil, err
	}
	if c.Do == callEvict {
		e.evict(ctx, t, c.Room)
		return nil, nil
	}
	if c.Do == callList {
		return json.Marshal(e.listed(t, c.User, c.Connection, c.Limit))
	}
	if c.Do == callSendUser || c.Do == callCloseUser {
		return e.answerUser(t, c)
	}
	if c.Do == callOutcome {
		e.sendOutcome(t, c)
		return nil, nil
	}
	if c.Do == callHandOver {
		var claim sessionClaim
		if err := json.Unmarshal(c.Value, &claim); err != nil {
			return nil, err
		}
		return nil, e.handOver(ctx, t, claim)
	}
	if c.Do == callShadowed {
		var m shadowed
		if err := json.Unmarshal(c.Value, &m); err != nil {
			return nil, err
		}
		e.deliverShadowed(ctx, t, c.Room, m)
		return nil, nil
	}
	conn := e.local(c.Connection)
	if conn == nil || conn.tenant != t {
		return nil, fmt.Errorf("%w: %q", ErrNoConnection, c.Connection)
	}
	running := t.withVerbTime(ctx)
	defer running.stop()
	value, err := e.callConnection(running, conn, c)
	return value, inTime(running, err)
}

// callConnection runs a call for a connection of this node.
func (e *Engine) callConnection(ctx context.Context, conn *Connection, c call) (json.RawMessage, error) {
	t := conn.tenant
	switch c.Do {
	case callDetails:
		return json.Marshal(conn.infoWithProperties())
	case callSend:
		return nil, conn.sendValue(c.Value)
	case callSet:
		return nil, conn.setValues(c.Properties)
	case callSay:
		m, err := jsonMessage(c.Value)
		if err != nil {
			return nil, err
		}
		if !conn.isIn(c.Room) {
			return nil, errNotIn(c.Room)
		}
		id, err := e.send(ctx, t, c.Room, outgoing{conn: conn, from: conn.ID(), message: m})
		if err != nil {
			return nil, err
		}
		return json.Marshal(id)
	case callJoin:
		_, effects, err := e.join(ctx, conn, c.Room, joinOptions{})
		e.applyLater(ctx, t, effects, false)
		return nil, err
	case callLeave:
		_, err := e.leave(ctx, conn, c.Room, hook.CauseRemoved)
		if err == nil && c.Reason != "" {
			conn.sendRemoved(c.Room, c.Reason)
		}
		return nil, err
	case callClose:
		conn.Close(Close{Code: CloseRemoved.Code, Reason: cmp.Or(c.Reason, CloseRemoved.Reason)})
		return nil, nil
	}
	return nil, fmt.Errorf("call %q is not known to this node", c.Do)
}

// setValues sets properties, all or none. A null value removes the property.
func (c *Connection) setValues(values map[string]json.RawMessage) error {
	changes := make([]hook.Property, 0, len(values))
	for name, v := range values {
		switch {
		case name == "" || v != nil && !json.Valid(v):
			return &VerbError{"a property needs a name and a JSON value"}
		case string(v) == "null":
			v = nil
		}
		changes = append(changes, hook.Property{Name: name, Value: v})
	}
	return c.set(changes...)
}

// sendRemoved sends the client the notice that it is no longer in a room, with the reason.
func (c *Connection) sendRemoved(room, reason string) {
	notice, _ := json.Marshal(map[string]string{"context": "api", "from": system, "room": room,
		"message": fmt.Sprintf("you are no longer in this room (%s)", reason)})
	_ = c.sendValue(notice) // fails only if the client is away
}

// sendValue sends a JSON value to the client. It sends an object with its members, and any
// other value as the message of an object from the system. An object without a context gets
// the context "api".
func (c *Connection) sendValue(value json.RawMessage) error {
	if c.engine.sessions.isAway(c) {
		return errAway
	}
	if !json.Valid(value) {
		return &VerbError{"message is not JSON"}
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(value, &object) != nil || object == nil {
		object = map[string]json.RawMessage{"from": json.RawMessage(`"` + system + `"`), "message": value}
	}
	if object["context"] == nil {
		object["context"] = json.RawMessage(`"api"`)
	}
	b, err := json.Marshal(object)
	if err != nil {
		return err
	}
	c.out.Send(wire.FrameOf(b))
	return nil
}
