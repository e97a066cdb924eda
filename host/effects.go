package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
)

// readOnly reports whether the call under way may have no effects: say is decided many times for
// one message, and the start of a module belongs to no event.
func (in *instance) readOnly() bool { return in.hook == abi.Say || in.hook == 0 }

// effect records an effect, which applies after the chain has allowed.
func (in *instance) effect(e hook.Effect) int32 {
	if len(in.effects)-in.emits >= abi.MaxEffects {
		return abi.OverBudget
	}
	in.effects = append(in.effects, e)
	return 0
}

func (in *instance) propertySet(stack []uint64) {
	result(stack, in.setProperty(stack))
}

func (in *instance) setProperty(stack []uint64) int32 {
	name, refused := in.name(stack[0], stack[1], maxKey)
	if refused != 0 {
		return refused
	}
	b, refused := in.bytes(stack[2], stack[3], abi.MaxProperties)
	switch {
	case refused != 0:
		return refused
	case in.readOnly(), !slices.Contains(in.generation.given.properties, name):
		return abi.NotGranted
	case in.event.Conn == nil:
		return abi.Absent
	}
	for _, p := range in.event.Conn.Properties {
		if p.Name == name && p.Claim {
			return abi.NotGranted // modules cannot change claims of the token
		}
	}
	p := &hook.Property{Name: name}
	if len(b) > 0 {
		var value bytes.Buffer
		if !utf8.Valid(b) || json.Compact(&value, b) != nil {
			return abi.BadPointer // clients receive properties, and close the connection if one is not UTF-8
		}
		p.Value = value.Bytes()
	}
	return in.effect(hook.Effect{Property: p})
}

func (in *instance) roomCreate(stack []uint64)  { result(stack, in.room(stack, false)) }
func (in *instance) roomDestroy(stack []uint64) { result(stack, in.room(stack, true)) }

func (in *instance) room(stack []uint64, destroy bool) int32 {
	name, refused := in.name(stack[0], stack[1], maxName)
	switch {
	case refused != 0:
		return refused
	case in.readOnly():
		return abi.NotGranted
	case !validName(name):
		return abi.BadPointer
	case in.event.Caused: // like emits
		in.generation.counters.lostEffects.Add(1)
		return abi.OverBudget
	}
	return in.effect(hook.Effect{Room: &hook.RoomEffect{Name: name, Destroy: destroy}})
}

func (in *instance) emit(stack []uint64) {
	result(stack, in.send(stack))
}

func (in *instance) send(stack []uint64) int32 {
	kind := uint32(stack[0])
	to, refused := in.name(stack[1], stack[2], maxName)
	if refused != 0 {
		return refused
	}
	b, refused := in.bytes(stack[3], stack[4], abi.MaxResult)
	switch {
	case refused != 0:
		return refused
	case in.readOnly():
		return abi.NotGranted
	case kind > abi.EmitJSON+abi.EmitToUser, !validName(to): // the kinds of two targets are above
		return abi.BadPointer
	case in.emits == abi.MaxEmits:
		return abi.OverBudget
	case in.event.Caused: // effects of effects are dropped
		in.generation.counters.lostEffects.Add(1)
		return abi.OverBudget
	}
	e := &hook.Emit{Message: wire.Message{JSON: kind&abi.EmitJSON != 0}}
	switch {
	case kind&abi.EmitToUser != 0:
		e.User = to
	case kind&abi.EmitToConnection != 0:
		e.Connection = to
	default:
		e.Room = to
	}
	var value bytes.Buffer
	switch {
	case !utf8.Valid(b), e.Message.JSON && json.Compact(&value, b) != nil, e.Room == "" && forges(b):
		return abi.BadPointer
	case e.Message.JSON:
		e.Message.Text = value.String()
	default:
		e.Message.Text = string(b)
	}
	in.emits++
	in.effects = append(in.effects, hook.Effect{Emit: e})
	return 0
}

// userSet names the user of the event's connection. The module's log has the reason of a refusal, because the result does not
// distinguish a missing grant from a connection that already has a user.
func (in *instance) userSet(stack []uint64) {
	result(stack, in.setUser(stack))
}

func (in *instance) setUser(stack []uint64) int32 {
	user, refused := in.name(stack[0], stack[1], abi.MaxUser)
	switch {
	case refused != 0:
		return refused
	case in.readOnly():
		return abi.NotGranted
	case in.hook != abi.Connect && in.hook != abi.Action:
		return in.refuseUser(abi.NotGranted, errors.New("a user can be set at connect and at actions"))
	case in.event.Conn == nil:
		return abi.Absent
	case !validName(user):
		return in.refuseUser(abi.BadPointer, errors.New("the name is empty or has control characters"))
	}
	has := in.event.Conn.User
	for i := range in.effects {
		if set := in.effects[i].Identity; set != nil {
			has = set.User
		}
	}
	switch has {
	case user:
		return 0
	case "":
		return in.effect(hook.Effect{Identity: &hook.Identity{User: user, Module: in.generation.binding.module}})
	}
	return in.refuseUser(abi.NotGranted, fmt.Errorf("the connection has the user %q, which cannot be changed", has))
}

func (in *instance) refuseUser(result int32, why error) int32 {
	in.logOutput(slog.LevelWarn, fmt.Sprintf("%s: %.400s", abi.ImportUserSet, why))
	return result
}

// forges reports whether a connection could mistake b, sent as it is, for an answer to its request
// or for a message of a member.
func forges(b []byte) bool {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(b, &members) // other JSON has no members
	return slices.ContainsFunc(reservedInReply[:], func(name string) bool { return members[name] != nil })
}
