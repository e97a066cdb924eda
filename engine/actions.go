package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// createChatRoom is the only built-in action. A tenant has it if its clients may create
// rooms and no module declares an action of that name.
const createChatRoom = "createChatRoom"

var createChatRoomSpec = hook.ActionSpec{
	Description: "creates a room",
	Inputs:      map[string]hook.InputSpec{"name": {Required: true, Description: "of the room"}},
}

// action starts an action. The answer follows when the action ends: answers to actions do
// not keep the order of requests.
func (c *Connection) action(ctx context.Context, r wire.Request, id json.RawMessage) {
	begun := time.Now()
	name, params := c.actionOf(&r)
	if err := c.beginAction(); err != nil {
		c.respondAction(id, nil, err, begun)
		return
	}
	ctx, end := c.begin(ctx, &r)
	c.actions.Go(func() {
		running := c.startVerb(ctx)
		defer running.stop()
		reply, later, err := c.act(running, name, params)
		err = running.inTime(err)
		c.mu.Lock()
		c.pendingActions--
		c.mu.Unlock()
		c.respondAction(id, reply, err, begun)
		c.engine.applyLater(ctx, c.tenant, later, false)
		if end != nil {
			end(err)
		}
	})
}

func (c *Connection) beginAction() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.engine.closing.Load():
		return &VerbError{"the server is shutting down"}
	case c.pendingActions >= c.tenant.cfg().Limits.SimultaneousActions:
		return &VerbError{"you have too many pending requests"}
	}
	c.totalActions++
	c.pendingActions++
	return nil
}

func (c *Connection) respondAction(id, reply json.RawMessage, err error, begun time.Time) {
	r := wire.Response{ID: id, Action: true, Reply: reply}
	if err != nil {
		c.explain(&r, err)
	}
	c.respond(r)
	c.engine.stats.verbs.observe("action", err, time.Since(begun))
}

// act runs an action: the tenant's chain for a declared action, else createChatRoom.
func (c *Connection) act(ctx context.Context, name string, params map[string]json.RawMessage) (json.RawMessage, []hook.Effect, error) {
	e := c.engine
	spec, declared := e.middleware.Actions(c.tenant.name)[name]
	if !declared {
		if name != createChatRoom || !c.tenant.cfg().ClientsMayCreate {
			return nil, nil, &VerbError{"unknown action or invalid apiVersion"}
		}
		spec = createChatRoomSpec
	}
	for _, input := range slices.Sorted(maps.Keys(spec.Inputs)) {
		if v := params[input]; spec.Inputs[input].Required && (v == nil || string(v) == "null" || string(v) == `""`) {
			return nil, nil, &VerbError{fmt.Sprintf("%s is a required parameter for this action", input)}
		}
	}
	if !declared {
		return c.createChatRoom(ctx, params)
	}
	if err := c.maySpeak(spec, params); err != nil {
		return nil, nil, err
	}
	encoded, err := json.Marshal(params)
	if err != nil {
		return nil, nil, err
	}
	v := e.decide(ctx, &hook.Event{Hook: hook.Action, Tenant: c.tenant.name, Conn: c.profile.Load(), Action: name, Params: encoded})
	if err := refusal(&v); err != nil {
		return nil, nil, err
	}
	if v.Waited > 0 {
		if err := c.maySpeak(spec, params); err != nil {
			return nil, nil, err
		}
	}
	return v.Reply, e.applyNow(ctx, c.tenant, c, v.Effects, false), nil
}

// maySpeak returns an error if the action is speech and the client is muted.
func (c *Connection) maySpeak(spec hook.ActionSpec, params map[string]json.RawMessage) error {
	if !spec.Speech {
		return nil
	}
	return c.refusedBy(moderation.Mute, roomOf(spec, params))
}

// roomOf returns the room in which an action speaks: its parameter room, if it declares one and it
// is a text; else "".
func roomOf(spec hook.ActionSpec, params map[string]json.RawMessage) (room string) {
	if _, has := spec.Inputs["room"]; has {
		_ = json.Unmarshal(params["room"], &room) // another value names no room
	}
	return room
}

func (c *Connection) createChatRoom(ctx context.Context, params map[string]json.RawMessage) (json.RawMessage, []hook.Effect, error) {
	var name string
	if err := json.Unmarshal(params["name"], &name); err != nil {
		return nil, nil, &VerbError{"name must be text"}
	}
	err := c.engine.createRoom(ctx, c.tenant, name)
	if err != nil && !errors.Is(err, cluster.ErrRoomExists) {
		return nil, nil, err
	}
	reply, merr := json.Marshal(struct {
		Name      string `json:"name"`
		DidCreate bool   `json:"didCreate"`
	}{name, err == nil})
	return reply, nil, merr
}
