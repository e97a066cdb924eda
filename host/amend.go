package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
)

func (in *instance) messageRetract(stack []uint64) {
	result(stack, in.amend(abi.ImportMessageRetract, [4]uint64(stack[:4]), func() (hook.Amendment, int32) {
		return hook.Amendment{}, 0
	}))
}

func (in *instance) messageEdit(stack []uint64) {
	result(stack, in.amend(abi.ImportMessageEdit, [4]uint64(stack[1:5]), func() (hook.Amendment, int32) {
		m, refused := in.newText(uint32(stack[0]), stack[5], stack[6])
		return hook.Amendment{Edit: true, Message: m}, refused
	}))
}

// amend records an amendment of a message. args are its room and its id; rest reads the other arguments.
func (in *instance) amend(function string, args [4]uint64, rest func() (hook.Amendment, int32)) int32 {
	room, refused := in.name(args[0], args[1], maxName)
	if refused != 0 {
		return refused
	}
	id, refused := in.name(args[2], args[3], abi.MaxMessageID)
	if refused != 0 {
		return refused
	}
	a, refused := rest()
	if refused == 0 {
		refused = in.mayModerate()
	}
	switch {
	case refused != 0:
		return refused
	case !validName(room):
		return in.badArgument(function, errors.New("room: it is empty or not a valid name"))
	case !validMessageID(id):
		return in.badArgument(function, fmt.Errorf("id: %q is not the id of a message", id))
	}
	a.Room, a.ID, a.Module = room, id, in.generation.binding.module
	return in.effect(hook.Effect{Amend: &a})
}

// newText reads the new text of an edit.
func (in *instance) newText(kind uint32, p, n uint64) (m wire.Message, refused int32) {
	b, refused := in.bytes(p, n, abi.MaxResult)
	if refused != 0 {
		return m, refused
	}
	var value bytes.Buffer
	switch {
	case kind > abi.EmitJSON:
		return m, in.badArgument(abi.ImportMessageEdit, fmt.Errorf("kind %d: use 0 for text or 1 for JSON", kind))
	case len(b) == 0:
		return m, in.badArgument(abi.ImportMessageEdit, errors.New("the new text is empty: retract the message"))
	case kind == abi.EmitText && utf8.Valid(b):
		return wire.Message{Text: string(b)}, 0
	case kind == abi.EmitJSON && utf8.Valid(b) && json.Compact(&value, b) == nil:
		return wire.Message{JSON: true, Text: value.String()}, 0
	}
	return m, in.badArgument(abi.ImportMessageEdit, errors.New("the new text is not UTF-8, or not JSON"))
}

// validMessageID reports whether id has the form of a message id.
func validMessageID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '_')
	})
}
