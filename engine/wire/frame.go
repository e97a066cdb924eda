package wire

import "encoding/binary"

// Frame is one message to clients, or several that go out together, in the form
// of every transport at once. It is immutable and shared by all connections that
// are sent it: nobody writes to the slices it gives.
type Frame struct {
	webSocket []byte
	line      []byte
}

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// NewFrame makes a frame of what appendTo adds to its argument: the JSON text of
// one message, without a line end. One allocation holds both forms: a WebSocket
// text frame (RFC 6455, section 5.2; unmasked, not fragmented) and, in the same
// bytes, a line ended by \r\n.
func NewFrame(appendTo func(dst []byte) []byte) *Frame {
	return frameIn(appendTo(make([]byte, maxHeader, 512)))
}

// FrameOf makes a frame of a copy of payload.
func FrameOf(payload []byte) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+2)
	return frameIn(append(buf, payload...))
}

// maxPosition is more than the members of a position take, with an epoch as ours
// are.
const maxPosition = 80

// FramePlaced makes a frame of a copy of payload, with its position in it.
func FramePlaced(payload []byte, at Position) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+maxPosition+2)
	return frameIn(AppendPlaced(buf, payload, at))
}

// frameIn takes buf, whose first maxHeader bytes are free.
func frameIn(buf []byte) *Frame {
	n := len(buf) - maxHeader
	head := 2
	switch {
	case n > 0xffff:
		head = 10
	case n > 125:
		head = 4
	}
	buf = append(buf, '\r', '\n')[maxHeader-head:]
	buf[0] = 0x81 // FIN, text
	switch head {
	case 2:
		buf[1] = byte(n)
	case 4:
		buf[1] = 126
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
	default:
		buf[1] = 127
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
	}
	end := len(buf) - 2
	return &Frame{webSocket: buf[:end:end], line: buf[head:]}
}

// Join makes one frame of several, in their order: whole and separate for the
// client, one write for the server.
func Join(frames []*Frame) *Frame {
	if len(frames) == 1 {
		return frames[0]
	}
	var w, l int
	for _, f := range frames {
		w += len(f.webSocket)
		l += len(f.line)
	}
	buf := make([]byte, 0, w+l)
	for _, f := range frames {
		buf = append(buf, f.webSocket...)
	}
	for _, f := range frames {
		buf = append(buf, f.line...)
	}
	return &Frame{webSocket: buf[:w:w], line: buf[w:]}
}

// WebSocket is the frame as a WebSocket server sends it.
func (f *Frame) WebSocket() []byte { return f.webSocket }

// Line is the JSON text and \r\n.
func (f *Frame) Line() []byte { return f.line }

// Len is the size of the larger form, in bytes.
func (f *Frame) Len() int { return max(len(f.webSocket), len(f.line)) }
