package abi

import (
	"encoding/binary"
	"unicode/utf8"
)

// Layout of a frame's header. Slots are u32 unless stated otherwise.
const (
	FrameSize        = 0  // bytes of header and blobs together
	FrameMinor       = 4  // u16: [Minor] of the host
	FrameHook        = 6  // u16
	FrameFlags       = 8  // [FlagJSON]
	FrameReceivers   = 12 // number of receivers
	FrameEvent       = 16 // offset of the event blob
	FrameConnection  = 20 // offset of the connection blob; 0: none (system, or on_say)
	FrameReceiverTab = 24 // offset of the receivers: one u32 offset of a connection blob each
	FrameVerdicts    = 28 // offset of the verdict bytes, one per receiver, 0 when the guest is called

	// Result slots. They are 0 when the host calls the guest; the host reads them when
	// the guest returns.
	ResultCode         = 32 // deny: a number that the module chooses; 0: none
	ResultReason       = 36 // ptr, len; of a deny or a hold
	ResultMessage      = 44 // ptr, len
	ResultMessageKind  = 52 // [KindNone] [KindText] [KindJSON]
	ResultExtra        = 56 // ptr, len of a JSON object merged into the payload
	ResultRoom         = 64 // ptr, len
	ResultFrom         = 72 // ptr, len
	ResultSentAt       = 80 // u64, ms since 1970; 0: not rewritten
	ResultReply        = 88 // ptr, len of a JSON object: the answer of an action
	ResultVariants     = 96 // ptr of an array of variants
	ResultVariantCount = 100
	ResultTTL          = 104 // u64, ms; hold: the time until the message expires, 0: the tenant's default; since minor 1
	ResultAsk          = 112 // ptr, len; ask: its name; since minor 1
	ResultAskBody      = 120 // ptr, len of JSON text; ask: the body for the service, length 0: none; since minor 1
	ResultState        = 128 // ptr, len of any bytes; ask: they come back with the answer; since minor 1

	FrameAnswer = 136 // on_answer: offset of the answer's blob; 0 at hooks. 4 reserved bytes follow; since minor 1
	HeaderSize  = 144
)

// Layout of a variant of on_say. Variants are in the guest's memory.
const (
	VariantMessage = 0 // ptr, len
	VariantKind    = 8 // [KindNone]: the message is not rewritten
	VariantExtra   = 12
	VariantSize    = 20
)

// FlagJSON in [FrameFlags] means that the event's message is JSON, not text.
const FlagJSON = 1

// Layout of a blob: u32 size, u16 kind, u16 field count, two u64, an offset and a
// length (u32 each) per field, and then the bytes of the fields, padded to a multiple
// of 8. If an offset is 0, the field is absent, or the guest does not read it. An empty
// field has an offset and the length 0.
const (
	BlobSize   = 0
	BlobKind   = 4
	BlobFields = 6
	BlobA      = 8  // event: sentAt; connection: connectedAt; ms since 1970; answer: its status
	BlobB      = 16 // event: sequence; connection: joinedAt of this room, 0 outside one; answer: number of the ask, from 1
	BlobTable  = 24
)

// Kinds of a blob.
const (
	BlobEvent      = 1
	BlobConnection = 2
	BlobAnswer     = 3 // since minor 1
)

// Field is the number of a field of a blob.
type Field uint8

// Fields of an event.
const (
	EventRoom Field = iota
	EventTenant
	EventFrom
	EventMessage
	EventContext
	EventCause     // leave: roomLeave, destroyed, disconnect, removed, node_lost; join: "", rejoined
	EventAction    // name of the action
	EventParams    // its parameters, a JSON object
	EventMessageID // onSayReceive, say: the id of the message; absent in an ephemeral room; since minor 1
	EventEdits     // onSayReceive, say: the id of the message that this event edits; absent: it is a new message; since minor 1
	EventFieldCount
)

// Fields of an answer.
const (
	AnswerName  Field = iota // of the ask
	AnswerBody               // JSON text; absent: the answer has none
	AnswerState              // the bytes of [ResultState]; absent: none
	AnswerFieldCount
)

// Fields of a connection.
const (
	ConnID Field = iota
	ConnFingerprint
	ConnUser
	ConnTransport // websocket, socket
	ConnRemoteIP
	ConnTenant
	ConnLocale
	ConnProperties // see [AppendProperty]
	ConnFieldCount
)

var eventFields = [...]string{"room", "tenant", "from", "message", "context", "cause", "action", "params", "messageId", "edits"}
var connFields = [...]string{"id", "fingerprint", "user", "transport", "remoteIP", "tenant", "locale", "properties"}

// EventField returns the event field for a name in a manifest's reads, such as
// "message". ok is false if there is no such field. The times sentAt and sequence are
// in every event and need no declaration. "tenant" is a field of both the event and the
// connection.
func EventField(name string) (f Field, ok bool) { return fieldNamed(eventFields[:], name) }

// ConnectionField returns the connection field for a name in a manifest's reads or
// vary, such as "locale". Properties are declared individually: for "properties.role"
// the field is [ConnProperties] and property is "role". The times "connectedAt" and
// "joinedAt" have no field number; see [ConnectionTime].
func ConnectionField(name string) (f Field, property string, ok bool) {
	const prefix = "properties."
	if len(name) > len(prefix) && name[:len(prefix)] == prefix {
		return ConnProperties, name[len(prefix):], true
	}
	f, ok = fieldNamed(connFields[:], name)
	return f, "", ok && f != ConnProperties
}

// ConnectionTime returns the slot of a connection blob for a name in a manifest's
// reads: [BlobA] for "connectedAt", [BlobB] for "joinedAt", and 0 for any other name. A
// time that is not declared is 0 in the blob.
func ConnectionTime(name string) int {
	switch name {
	case "connectedAt":
		return BlobA
	case "joinedAt":
		return BlobB
	}
	return 0
}

func fieldNamed(names []string, name string) (Field, bool) {
	for i, n := range names {
		if n == name {
			return Field(i), true
		}
	}
	return 0, false
}

// AppendBlob appends a blob to dst and returns the extended slice. A nil field is
// absent; an empty field is present. The length of dst must be a multiple of 8; the
// length of the result is one too.
func AppendBlob(dst []byte, kind uint16, a, b uint64, fields [][]byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint16(dst, kind)
	dst = le.AppendUint16(dst, uint16(len(fields)))
	dst = le.AppendUint64(dst, a)
	dst = le.AppendUint64(dst, b)
	at := BlobTable + 8*len(fields)
	for _, f := range fields {
		if f == nil {
			dst = le.AppendUint64(dst, 0)
			continue
		}
		dst = le.AppendUint32(dst, uint32(at))
		dst = le.AppendUint32(dst, uint32(len(f)))
		at += len(f)
	}
	for _, f := range fields {
		dst = append(dst, f...)
	}
	for len(dst)%8 != 0 {
		dst = append(dst, 0)
	}
	le.PutUint32(dst[start+BlobSize:], uint32(len(dst)-start))
	return dst
}

// AppendProperty appends one property to the value of [ConnProperties]: u32 length of
// the name, u32 length of the value, the name, and the value as JSON text. Properties
// follow each other without padding, in the order of their names.
func AppendProperty(dst []byte, name, value string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(name)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, name...)
	return append(dst, value...)
}

// Span is an unchecked range of a guest's memory, which the guest has chosen.
type Span struct{ Ptr, Len uint32 }

// SpanAt reads the pointer and the length at the offset slot of a frame or variant. The
// frame or variant must have at least slot+8 bytes.
func SpanAt(frame []byte, slot int) Span {
	return Span{
		binary.LittleEndian.Uint32(frame[slot:]),
		binary.LittleEndian.Uint32(frame[slot+4:]),
	}
}

// In returns the part of memory that the span refers to. ok is false if that part is
// out of bounds, longer than limit, or not valid UTF-8. The slice aliases memory: copy
// it before the next call of the guest. A span of length 0 is always valid.
func (s Span) In(memory []byte, limit int) (b []byte, ok bool) {
	b, ok = s.Bytes(memory, limit)
	return b, ok && utf8.Valid(b)
}

// Bytes is like [Span.In], for bytes that need not be UTF-8.
func (s Span) Bytes(memory []byte, limit int) (b []byte, ok bool) {
	if s.Len == 0 {
		return nil, true
	}
	end := uint64(s.Ptr) + uint64(s.Len)
	if end > uint64(len(memory)) || uint64(s.Len) > uint64(limit) {
		return nil, false
	}
	return memory[s.Ptr:end], true
}
