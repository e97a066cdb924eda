package wire

import (
	"encoding/binary"
	"sync/atomic"
)

// Frame is one message to clients, or several messages that are sent together, in the
// form of each transport. It is immutable and shared by all connections that receive
// it: do not change the slices that it returns.
type Frame struct {
	webSocket []byte
	line      []byte
	holders   atomic.Int32
}

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// NewFrame makes a frame of the bytes that appendTo appends to its argument: the JSON
// text of one message, without a line end. bytes is the number of bytes that it at least
// appends, or 0. One buffer contains both forms: a WebSocket
// text frame (RFC 6455, section 5.2; unmasked, not fragmented) and a line that ends
// with \r\n.
func NewFrame(bytes int, appendTo func(dst []byte) []byte) *Frame {
	return frameIn(appendTo(make([]byte, maxHeader, 512+bytes)))
}

// FrameOf makes a frame of a copy of payload.
func FrameOf(payload []byte) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+2)
	return frameIn(append(buf, payload...))
}

// maxPosition is the space for the offset and the epoch of a position, if a backend has
// made the epoch.
const maxPosition = 80

// FramePlaced makes a frame of a copy of payload, to which it adds the position.
func FramePlaced(payload []byte, at Position) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+maxPosition+2)
	return frameIn(AppendPlaced(buf, payload, at))
}

// FramePlain makes a frame of a copy of payload with the position, in the form of AppendPlain.
func FramePlain(payload []byte, at Position) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload)+maxPosition+2)
	return frameIn(AppendPlain(buf, payload, at))
}

// frameIn makes a frame in buf, which has maxHeader free bytes before the message.
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

// Join joins several frames into one, in order. The client receives separate messages,
// but the server needs only one write.
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

// WebSocket returns the frame in the form of the WebSocket transport.
func (f *Frame) WebSocket() []byte { return f.webSocket }

// Line returns the JSON text and \r\n.
func (f *Frame) Line() []byte { return f.line }

// Len returns the size of the larger form, in bytes.
func (f *Frame) Len() int { return max(len(f.webSocket), len(f.line)) }

// Hold counts a holder of the frame, and reports whether it is the first one now. Several
// connections may wait with one frame, whose memory is to be counted once.
func (f *Frame) Hold() (first bool) { return f.holders.Add(1) == 1 }

// Release ends a Hold, and reports whether it was the last one.
func (f *Frame) Release() (last bool) { return f.holders.Add(-1) == 0 }
