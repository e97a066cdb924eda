package ws

import (
	"bufio"
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// Of RFC 6455, section 5.2.
const (
	fin      = 0x80
	reserved = 0x70
	masked   = 0x80

	opMore   = 0
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10

	longestControl = 125
)

// Closes for what is against the protocol.
var (
	closeBits     = protocolError("reserved bit is set")
	closeOpcode   = protocolError("unknown opcode")
	closeUnmasked = protocolError("frame is not masked")
	closeControl  = protocolError("control frame is fragmented or too long")
	closeNotBegun = protocolError("continuation of no message")
	closeNotEnded = protocolError("message begins within a message")
	closeLength   = protocolError("frame length is not in its shortest form")
	closeSign     = protocolError("frame length is negative")
	closeCode     = protocolError("close code is not valid")
)

func protocolError(reason string) engine.Close { return engine.Close{Code: 1002, Reason: reason} }

// frames reads the frames of a client. It refuses what is wrong with them at the
// first byte that makes it so: a length at the frame's header, text at the first bad
// byte. Memory is taken for the bytes that have come.
type frames struct {
	in      *bufio.Reader
	longest int // of a message, in bytes

	text   []byte // of the message, as far as it has come
	whole  int    // bytes of text that were checked
	within bool   // a message has begun, and not ended

	control [longestControl]byte // payload of a control frame
}

// header is that of a frame.
type header struct {
	opcode byte
	fin    bool
	length int
	key    uint32 // of the mask, for unmask
}

// begin forgets the message that next returned.
func (f *frames) begin() { f.text, f.whole, f.within = f.text[:0], 0, false }

// next returns the next control frame, or the next message with the opcode of its
// first frame. The payload is valid until the next call. An error is an engine.Close
// where the client broke the protocol, otherwise the reader's.
func (f *frames) next() (opcode byte, payload []byte, err error) {
	for {
		h, err := f.header()
		if err != nil {
			return 0, nil, err
		}
		if h.opcode >= opClose {
			payload, err := f.short(h)
			return h.opcode, payload, err
		}
		f.within = true
		if err := f.data(h); err != nil {
			return 0, nil, err
		}
		if h.fin {
			f.within = false
			if f.whole < len(f.text) {
				return 0, nil, engine.CloseInvalid
			}
			return opText, f.text, nil
		}
	}
}

// header reads a frame's header, and checks it as soon as its bytes are there.
func (f *frames) header() (h header, err error) {
	head, err := f.in.Peek(2)
	if err != nil {
		return h, err
	}
	h.fin, h.opcode, h.length = head[0]&fin != 0, head[0]&0xf, int(head[1]&^masked)
	if err := f.check(head[0], head[1]); err != nil {
		return h, err
	}
	size := 2
	switch h.length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if head, err = f.in.Peek(size); err != nil {
		return h, err
	}
	if err := f.measure(&h, head[2:]); err != nil {
		return h, err
	}
	if head, err = f.in.Peek(size + 4); err != nil {
		return h, err
	}
	h.key = binary.LittleEndian.Uint32(head[size:])
	f.in.Discard(size + 4)
	return h, nil
}

// check checks the first two bytes of a frame. The error is an engine.Close.
func (f *frames) check(first, second byte) error {
	opcode := first & 0xf
	switch {
	case first&reserved != 0:
		return closeBits
	case opcode > opPong || opcode > opBinary && opcode < opClose:
		return closeOpcode
	case second&masked == 0:
		return closeUnmasked
	case opcode >= opClose && (first&fin == 0 || second&^masked > longestControl):
		return closeControl
	case opcode == opMore && !f.within:
		return closeNotBegun
	case (opcode == opText || opcode == opBinary) && f.within:
		return closeNotEnded
	case opcode == opBinary:
		return engine.CloseBinary
	case opcode == opText:
		f.begin()
	}
	return nil
}

// measure sets the length of a frame, of which more has the bytes behind the first two.
// The error is an engine.Close.
func (f *frames) measure(h *header, more []byte) error {
	n := uint64(h.length)
	switch len(more) {
	case 2:
		if n = uint64(binary.BigEndian.Uint16(more)); n < 126 {
			return closeLength
		}
	case 8:
		switch n = binary.BigEndian.Uint64(more); {
		case n > math.MaxInt64:
			return closeSign
		case n <= math.MaxUint16:
			return closeLength
		}
	}
	if h.opcode < opClose && n > uint64(f.longest-len(f.text)) {
		return engine.CloseTooBig
	}
	h.length = int(n)
	return nil
}

// short reads the payload of a control frame. Those that come within a message change
// nothing of it.
func (f *frames) short(h header) ([]byte, error) {
	b, err := f.in.Peek(h.length)
	if err != nil {
		return nil, err
	}
	payload := f.control[:copy(f.control[:], b)]
	unmask(payload, h.key)
	f.in.Discard(h.length)
	return payload, nil
}

// data reads the payload of a frame of a message, as it comes.
func (f *frames) data(h header) error {
	for h.length > 0 {
		if _, err := f.in.Peek(1); err != nil {
			return err
		}
		b, _ := f.in.Peek(min(h.length, f.in.Buffered()))
		at := len(f.text)
		f.text = append(f.text, b...)
		h.key = unmask(f.text[at:], h.key)
		f.in.Discard(len(b))
		h.length -= len(b)
		whole, ok := wire.ValidPrefix(f.text[f.whole:])
		if !ok {
			return engine.CloseInvalid
		}
		f.whole += whole
	}
	return nil
}

// unmask takes the mask from b, or puts it on, and returns the key for the bytes that
// follow.
func unmask(b []byte, key uint32) uint32 {
	for k := uint64(key)<<32 | uint64(key); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
	}
	for i := range b {
		b[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}

// closeAnswer is the close frame that answers one of a client, or an engine.Close
// where the client's is not valid.
func closeAnswer(payload []byte) ([]byte, error) {
	if len(payload) == 1 {
		return nil, closeCode
	}
	if len(payload) > 1 {
		code := binary.BigEndian.Uint16(payload)
		switch {
		case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code > 4999:
			return nil, closeCode
		case !utf8.Valid(payload[2:]):
			return nil, engine.CloseInvalid
		}
	}
	return append([]byte{fin | opClose, byte(len(payload))}, payload...), nil
}
