package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/wire"
)

// On the socket transport, parameters are sticky: paramAdd sets a parameter, and every
// later action has it until it is deleted or a JSON line replaces all parameters. Callers
// of param, setParam, deleteParam and allParams hold Connection.mu.

// maxParamBytes is the limit for the names and values of a connection's sticky parameters.
const maxParamBytes = 64 << 10

func (c *Connection) param(name string) json.RawMessage {
	for _, p := range c.params {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

func (c *Connection) setParam(name string, value json.RawMessage) {
	c.deleteParam(name)
	c.params = append(c.params, param{name, value})
}

func (c *Connection) deleteParam(name string) {
	c.params = slices.DeleteFunc(c.params, func(p param) bool { return p.name == name })
}

func (c *Connection) allParams() map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(c.params))
	for _, p := range c.params {
		all[p.name] = p.value
	}
	return all
}

// actionOf returns the name and the parameters of an action. On the socket transport both
// are sticky.
func (c *Connection) actionOf(r *wire.Request) (name string, params map[string]json.RawMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialect != wire.Socket {
		return r.Action, paramsIn(r.Params)
	}
	if r.Params != nil {
		c.params = nil
		for k, v := range paramsIn(r.Params) {
			c.params = append(c.params, param{k, v})
		}
	}
	if r.Action != "" {
		c.setParam("action", jsonText(r.Action))
	}
	if json.Unmarshal(c.param("action"), &name) != nil {
		name = ""
	}
	return name, c.allParams()
}

func paramsIn(object json.RawMessage) map[string]json.RawMessage {
	params := map[string]json.RawMessage{}
	_ = json.Unmarshal(object, &params) // package wire has checked that it is an object
	for k, v := range params {
		params[k] = bytes.Clone(v)
	}
	return params
}

func jsonText(s string) json.RawMessage {
	return json.RawMessage(wire.AppendString(nil, s))
}

// paramAdd sets a parameter. Like ActionHero, it ignores names that no action takes.
func (c *Connection) paramAdd(_ context.Context, r *wire.Request) (result, error) {
	if !c.takesParam(r.Key) {
		return result{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := len(r.Key) + len(r.Value)
	for _, p := range c.params {
		size += len(p.name) + len(p.value)
	}
	if size > maxParamBytes {
		return result{}, &VerbError{fmt.Sprintf("too many parameters (at most %d bytes)", maxParamBytes)}
	}
	c.setParam(r.Key, jsonText(r.Value))
	return result{}, nil
}

func (c *Connection) takesParam(name string) bool {
	switch name {
	case "file", "apiVersion", "callback", "action", "messageId":
		return true
	}
	if _, ok := createChatRoomSpec.Inputs[name]; ok && c.tenant.cfg().ClientsMayCreate {
		return true
	}
	for _, a := range c.engine.middleware.Actions(c.tenant.name) {
		if _, ok := a.Inputs[name]; ok {
			return true
		}
	}
	return false
}

func (c *Connection) paramDelete(_ context.Context, r *wire.Request) (result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleteParam(r.Key)
	return result{}, nil
}

func (c *Connection) paramView(_ context.Context, r *wire.Request) (result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return result{data: c.param(r.Key)}, nil
}

func (c *Connection) paramsView(context.Context, *wire.Request) (result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := json.Marshal(c.allParams())
	return result{data: data}, err
}

func (c *Connection) paramsDelete(context.Context, *wire.Request) (result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.params = nil
	return result{}, nil
}
