package host

import (
	"encoding/binary"
	"unsafe"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/host/abi"
)

// unit is a receiver as a frame shows it: a member, or the class of members that
// look the same to the module. property_get may read from the profile: of a class, any
// member's; of [nobody], none.
type unit struct {
	*encoded
	joinedAt int64 // 0 if it is not shown
}

// writeFrame puts what the call is about into the exchange buffer. conn may be
// nil. It runs guest code if the frame needs a larger exchange buffer.
func (in *instance) writeFrame(hook abi.Hook, ev *engine.Event, conn *encoded, units []unit) *failure {
	var fields [abi.EventFieldCount][]byte
	eventFields(&fields, ev, &in.generation.sees.event)
	at := layout(&fields, conn, units)
	if f := in.ensure(at.size); f != nil {
		return f
	}
	b := in.memory()[in.buffer:][:at.size]
	clear(b[:abi.HeaderSize])
	le := binary.LittleEndian
	le.PutUint32(b[abi.FrameSize:], uint32(at.size))
	le.PutUint16(b[abi.FrameMinor:], abi.Minor)
	le.PutUint16(b[abi.FrameHook:], uint16(hook))
	if ev.Message.JSON {
		le.PutUint32(b[abi.FrameFlags:], abi.FlagJSON)
	}
	le.PutUint32(b[abi.FrameEvent:], abi.HeaderSize)
	abi.AppendBlob(b[:abi.HeaderSize:at.conn], abi.BlobEvent, uint64(ev.SentAt), ev.Sequence, fields[:])
	if conn != nil {
		le.PutUint32(b[abi.FrameConnection:], uint32(at.conn))
		copy(b[at.conn:], conn.blob)
		if in.generation.sees.conn.joined {
			le.PutUint64(b[at.conn+abi.BlobB:], uint64(ev.JoinedAt))
		}
	}
	if len(units) > 0 {
		le.PutUint32(b[abi.FrameReceivers:], uint32(len(units)))
		le.PutUint32(b[abi.FrameReceiverTab:], uint32(at.table))
		le.PutUint32(b[abi.FrameVerdicts:], uint32(at.verdicts))
		clear(b[at.verdicts:at.blobs])
		in.verdicts = at.verdicts
		writeUnits(b, at, units)
	}
	return nil
}

func writeUnits(b []byte, at places, units []unit) {
	le := binary.LittleEndian
	next := at.blobs
	for i := range units {
		u := &units[i]
		le.PutUint32(b[at.table+4*i:], uint32(next))
		copy(b[next:], u.blob)
		if u.joinedAt != 0 {
			le.PutUint64(b[next+abi.BlobB:], uint64(u.joinedAt))
		}
		next += len(u.blob)
	}
}

// places are offsets in a frame.
type places struct{ conn, table, verdicts, blobs, size int }

func layout(fields *[abi.EventFieldCount][]byte, conn *encoded, units []unit) places {
	var at places
	at.conn = abi.HeaderSize + abi.BlobTable + 8*len(fields)
	for _, f := range fields {
		at.conn += len(f)
	}
	at.conn = pad(at.conn)
	at.table = at.conn
	if conn != nil {
		at.table += len(conn.blob)
	}
	at.verdicts = pad(at.table + 4*len(units))
	at.blobs = pad(at.verdicts + len(units))
	at.size = at.blobs
	for i := range units {
		at.size += len(units[i].blob)
	}
	return at
}

// eventFields gives what ev has of what is shown. What ev does not have is empty,
// and absent from the frame; but an empty message is one.
func eventFields(to *[abi.EventFieldCount][]byte, ev *engine.Event, shown *[abi.EventFieldCount]bool) {
	to[abi.EventRoom] = bytesOf(ev.Room)
	to[abi.EventTenant] = bytesOf(ev.Tenant)
	to[abi.EventFrom] = bytesOf(ev.From)
	to[abi.EventMessage] = bytesOf(ev.Message.Text)
	to[abi.EventContext] = bytesOf(ev.Context)
	to[abi.EventCause] = bytesOf(string(ev.Cause))
	to[abi.EventAction] = bytesOf(ev.Action)
	to[abi.EventParams] = ev.Params
	if to[abi.EventMessage] == nil && (ev.Hook == engine.HookOnSayReceive || ev.Hook == engine.HookSay) {
		to[abi.EventMessage] = []byte{}
	}
	for i, shown := range shown {
		if !shown {
			to[i] = nil
		}
	}
}

// pad rounds up to where a blob may begin.
func pad(n int) int { return (n + 7) &^ 7 }

// bytesOf is s as bytes that nobody writes to, without copying it; nil if it is
// empty.
func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
