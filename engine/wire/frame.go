package wire

import "encoding/binary"

// Frame is one message to clients, in the form of every transport at once: one
// allocation holds a WebSocket text frame (RFC 6455, section 5.2; unmasked, not
// fragmented) and, in the same bytes, a line ended by \r\n. It is immutable and
// shared by all connections that are sent it.
type Frame struct {
	buf  []byte // header, payload, "\r\n"
	head int    // bytes of header
}

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// NewFrame makes a frame of what append adds to its argument: the JSON text of
// one message, without a line end.
func NewFrame(appendTo func(dst []byte) []byte) *Frame {
	buf := appendTo(make([]byte, maxHeader, 512))
	return frameIn(buf)
}

// FrameOf makes a frame of a copy of payload.
func FrameOf(payload []byte) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+2)
	return frameIn(append(buf, payload...))
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
	return &Frame{buf: buf, head: head}
}

// WebSocket is the frame as a WebSocket server sends it.
func (f *Frame) WebSocket() []byte { return f.buf[: len(f.buf)-2 : len(f.buf)-2] }

// Line is the payload and \r\n.
func (f *Frame) Line() []byte { return f.buf[f.head:] }

// Payload is the JSON text alone.
func (f *Frame) Payload() []byte { return f.buf[f.head : len(f.buf)-2] }
