package host

import (
	"encoding/binary"
	"unsafe"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// writeFrame writes the frame of a call into the exchange buffer: header, part, event, connection
// and answer. conn and g may be nil; part is about the receivers, see appendUnits. It runs guest code if
// the frame needs a larger exchange buffer.
func (in *instance) writeFrame(hook abi.Hook, ev *hook.Event, conn *encoded, g *reply, receivers int, part []byte) *failure {
	sees := &in.generation.sees
	event := abi.HeaderSize + len(part)
	end := event + eventSize(ev, sees.fields)
	size := end
	if conn != nil {
		size += len(conn.blob)
	}
	answer, blob := size, g.blob()
	size += len(blob)
	if f := in.ensure(size); f != nil {
		return f
	}
	b := in.memory()[in.buffer:][:size]
	clear(b[:abi.HeaderSize])
	le := binary.LittleEndian
	le.PutUint32(b[abi.FrameSize:], uint32(size))
	le.PutUint16(b[abi.FrameMinor:], abi.Minor)
	le.PutUint16(b[abi.FrameHook:], uint16(hook))
	if ev.Message.JSON {
		le.PutUint32(b[abi.FrameFlags:], abi.FlagJSON)
	}
	le.PutUint32(b[abi.FrameEvent:], uint32(event))
	writeEvent(b[event:end], ev, sees.fields)
	if conn != nil {
		le.PutUint32(b[abi.FrameConnection:], uint32(end))
		copy(b[end:], conn.blob)
		if sees.conn.joined {
			le.PutUint64(b[end+abi.BlobB:], uint64(ev.JoinedAt))
		}
	}
	if blob != nil {
		le.PutUint32(b[abi.FrameAnswer:], uint32(answer))
		copy(b[answer:], blob)
	}
	if receivers > 0 {
		le.PutUint32(b[abi.FrameReceivers:], uint32(receivers))
		le.PutUint32(b[abi.FrameReceiverTab:], abi.HeaderSize)
		le.PutUint32(b[abi.FrameVerdicts:], uint32(abi.HeaderSize+verdictsAt(receivers)))
		copy(b[abi.HeaderSize:], part)
	}
	return nil
}

// eventTable is the offset of the values in an event's blob.
const eventTable = abi.BlobTable + 8*int(abi.EventFieldCount)

func eventSize(ev *hook.Event, fields []abi.Field) int {
	size := eventTable
	for _, f := range fields {
		size += len(eventField(ev, f))
	}
	return pad(size)
}

// writeEvent fills b with the event's blob, which has the size of b.
func writeEvent(b []byte, ev *hook.Event, fields []abi.Field) {
	le := binary.LittleEndian
	clear(b[:eventTable])
	le.PutUint32(b[abi.BlobSize:], uint32(len(b)))
	le.PutUint16(b[abi.BlobKind:], abi.BlobEvent)
	le.PutUint16(b[abi.BlobFields:], uint16(abi.EventFieldCount))
	le.PutUint64(b[abi.BlobA:], uint64(ev.SentAt))
	le.PutUint64(b[abi.BlobB:], ev.Sequence)
	at := eventTable
	for _, f := range fields {
		value := eventField(ev, f)
		if len(value) == 0 && !(f == abi.EventMessage && speaks(ev.Hook)) {
			continue
		}
		le.PutUint32(b[abi.BlobTable+8*int(f):], uint32(at))
		le.PutUint32(b[abi.BlobTable+8*int(f)+4:], uint32(len(value)))
		at += copy(b[at:], value)
	}
	clear(b[at:])
}

// speaks reports whether events of the hook have a message. Other empty fields are absent from the
// frame, but an empty message is present.
func speaks(at hook.Hook) bool {
	return at == hook.OnSayReceive || at == hook.Say
}

func eventField(ev *hook.Event, f abi.Field) []byte {
	switch f {
	case abi.EventRoom:
		return bytesOf(ev.Room)
	case abi.EventTenant:
		return bytesOf(ev.Tenant)
	case abi.EventFrom:
		return bytesOf(ev.From)
	case abi.EventMessage:
		return bytesOf(ev.Message.Text)
	case abi.EventContext:
		return bytesOf(ev.Context)
	case abi.EventCause:
		return bytesOf(string(ev.Cause))
	case abi.EventAction:
		return bytesOf(ev.Action)
	case abi.EventParams:
		return ev.Params
	case abi.EventMessageID:
		return bytesOf(ev.MessageID)
	case abi.EventEdits:
		return bytesOf(ev.Edits)
	}
	return nil
}

// pad rounds up to the next offset at which a blob may begin.
func pad(n int) int { return (n + 7) &^ 7 }

// bytesOf returns s as bytes without copying it. The bytes must not be changed. It returns nil if s
// is empty.
func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
