package host

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
)

// rewrite is a module's changes of a message. Zero fields are unchanged.
type rewrite struct {
	message    wire.Message
	newMessage bool
	extra      json.RawMessage // merged into earlier additions
	room, from string
	sentAt     int64
}

// results reads and copies a guest's result slots.
type results struct {
	frame  []byte // the header
	memory []byte
	err    *failure // the first
	left   string   // a member that was left out of extra; "": none
}

func (in *instance) results() results {
	m := in.memory()
	return results{frame: m[in.buffer:][:abi.HeaderSize], memory: m}
}

// bytes returns the bytes to which the pair at a slot points, in the guest's memory.
func (r *results) bytes(record []byte, slot, limit int, what string) []byte {
	span := abi.SpanAt(record, slot)
	b, ok := span.In(r.memory, limit)
	if !ok && r.err == nil {
		r.err = fail(Protocol, "%s: %d bytes at %#x are not UTF-8 text of at most %d bytes in its memory", what, span.Len, span.Ptr, limit)
	}
	return b
}

func (r *results) text(slot, limit int, what string) string {
	return string(r.bytes(r.frame, slot, limit, what))
}

// ttl reads the time to live of a hold, at most abi.MaxHold.
func (r *results) ttl() time.Duration {
	return time.Duration(min(binary.LittleEndian.Uint64(r.frame[abi.ResultTTL:]), abi.MaxHold)) * time.Millisecond
}

// message reads a message and its kind.
func (r *results) message(record []byte, slot, kindSlot int) (m wire.Message, given bool) {
	kind := binary.LittleEndian.Uint32(record[kindSlot:])
	if kind == abi.KindNone {
		return m, false
	}
	b := r.bytes(record, slot, abi.MaxResult, "message")
	switch {
	case r.err != nil:
	case kind == abi.KindText:
		m.Text = string(b)
	case kind == abi.KindJSON:
		m.JSON, m.Text = true, string(r.compact(b, "message"))
	default:
		r.err = fail(Protocol, "message: unknown kind %d", kind)
	}
	return m, r.err == nil
}

// compact returns a copy of JSON text without white space, because a line end is the end of a message on
// some transports.
func (r *results) compact(b []byte, what string) []byte {
	var to bytes.Buffer
	if err := json.Compact(&to, b); err != nil && r.err == nil {
		r.err = fail(Protocol, "%s: not JSON: %w", what, err)
	}
	return to.Bytes()
}

// object reads a JSON object that uses none of the reserved names; nil: none. It leaves out the members with the
// names of later, which modules of earlier versions may use.
func (r *results) object(record []byte, slot int, what string, reserved, later []string) json.RawMessage {
	b := r.bytes(record, slot, abi.MaxResult, what)
	if len(b) == 0 || r.err != nil {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		r.err = fail(Protocol, "%s: not a JSON object", what)
		return nil
	}
	for _, name := range reserved {
		if _, used := members[name]; used {
			r.err = fail(Protocol, "%s: the name %q is reserved", what, name)
			return nil
		}
	}
	for _, name := range later {
		if _, used := members[name]; used {
			delete(members, name)
			r.left = name
		}
	}
	if r.left == "" {
		return r.compact(b, what)
	}
	if b, _ = json.Marshal(members); len(members) == 0 { // the members are valid JSON
		return nil
	}
	return b
}

// extra reads an object that is merged into a payload; nil: none.
func (r *results) extra(record []byte, slot int) json.RawMessage {
	return r.object(record, slot, "extra", reservedInExtra[:], laterReserved[:])
}

// warn logs once for each module that a name in its extra is reserved.
func (r *results) warn(g *generation) {
	if r.left != "" && g.counters.warned.CompareAndSwap(false, true) {
		g.host.cfg.Log.Warn("a reserved name is left out of a module's extra: use another name", "module", g.name, "name", r.left)
	}
}

// rewrite reads the slots for fields that the event has.
func (r *results) rewrite() (w rewrite) {
	w.message, w.newMessage = r.message(r.frame, abi.ResultMessage, abi.ResultMessageKind)
	w.extra = r.extra(r.frame, abi.ResultExtra)
	w.room = r.text(abi.ResultRoom, abi.MaxResult, "room")
	w.from = r.text(abi.ResultFrom, abi.MaxResult, "from")
	w.sentAt = int64(binary.LittleEndian.Uint64(r.frame[abi.ResultSentAt:]))
	switch {
	case r.err != nil:
	case w.room != "" && !validName(w.room):
		r.err = fail(Protocol, "room: %q is not a valid room name", w.room)
	case w.from != "" && !validName(w.from):
		r.err = fail(Protocol, "from: %q is not a sender", w.from)
	case w.sentAt < 0:
		r.err = fail(Protocol, "sentAt: %d ms since 1970", w.sentAt)
	}
	return w
}

// Names that belong to the engine. In a payload they include message, which has its own slot.
var (
	reservedInReply = [...]string{"context", "messageId", "status", "error", "offset", "epoch", "room", "from", "sentAt"}
	reservedInExtra = [...]string{"context", "messageId", "status", "error", "offset", "epoch", "room", "from", "sentAt", "message"}
	laterReserved   = [...]string{"id", "user", "held", "edits", "retracts", "editedAt", "editedBy"} // in extra
)

// maxName limits the name of a room and the id of a connection, in bytes.
const maxName = 256

func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// merge adds the members of b to the object a, and replaces members with the same name.
func merge(a, b json.RawMessage) json.RawMessage {
	if a == nil {
		return b
	}
	members := make(map[string]json.RawMessage)
	if json.Unmarshal(a, &members) != nil || json.Unmarshal(b, &members) != nil {
		return b // not possible: both were decoded as objects before
	}
	merged, err := json.Marshal(members)
	if err != nil {
		return b
	}
	return merged
}
