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

// Bits and opcodes of RFC 6455, section 5.2.
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

	maxControl = 125 // bytes of a control frame's payload
)

// Closes for violations of the protocol.
var (
	closeBits     = protocolError("reserved bit is set")
	closeOpcode   = protocolError("unknown opcode")
	closeUnmasked = protocolError("frame is not masked")
	closeControl  = protocolError("control frame is fragmented or too long")
	closeNotBegun = protocolError("continuation without a message")
	closeNotEnded = protocolError("message begins before the last one ended")
	closeLength   = protocolError("frame length is not in its shortest form")
	closeSign     = protocolError("frame length is negative")
	closeCode     = protocolError("close code is not valid")
)

func protocolError(reason string) engine.Close { return engine.Close{Code: 1002, Reason: reason} }

// frames reads the frames of a client. It reports an error at the first wrong byte: a
// length over the limit at the frame's header, and text that is not UTF-8 at its first
// bad byte. It allocates memory only for bytes that have arrived.
type frames struct {
	in         *bufio.Reader
	maxMessage int // bytes

	text      []byte // of the message, as far as it has arrived
	checked   int    // bytes of text that are complete characters of valid UTF-8
	inMessage bool   // a message has begun and not ended

	control [maxControl]byte // payload of a control frame
}

// header is the header of a frame.
type header struct {
	opcode byte
	fin    bool
	length int
	key    uint32 // for unmask
}

// begin starts a new message. The message that next has returned becomes invalid.
func (f *frames) begin() { f.text, f.checked, f.inMessage = f.text[:0], 0, false }

// next returns the next control frame, or the next message with the opcode of its
// first frame. The payload is valid until the next call. The error is an engine.Close
// if the client violated the protocol, and otherwise the error of the socket.
func (f *frames) next() (opcode byte, payload []byte, err error) {
	for {
		h, err := f.header()
		if err != nil {
			return 0, nil, err
		}
		if h.opcode >= opClose {
			payload, err := f.readControl(h)
			return h.opcode, payload, err
		}
		f.inMessage = true
		if err := f.readData(h); err != nil {
			return 0, nil, err
		}
		if h.fin {
			f.inMessage = false
			if f.checked < len(f.text) {
				return 0, nil, engine.CloseInvalid
			}
			return opText, f.text, nil
		}
	}
}

// header reads the header of a frame, and checks each part when it arrives.
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
	if err := f.setLength(&h, head[2:]); err != nil {
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
	case opcode >= opClose && (first&fin == 0 || second&^masked > maxControl):
		return closeControl
	case opcode == opMore && !f.inMessage:
		return closeNotBegun
	case (opcode == opText || opcode == opBinary) && f.inMessage:
		return closeNotEnded
	case opcode == opBinary:
		return engine.CloseBinary
	case opcode == opText:
		f.begin()
	}
	return nil
}

// setLength sets the length of a frame. more is the bytes of the header after the first
// two. The error is an engine.Close.
func (f *frames) setLength(h *header, more []byte) error {
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
	if h.opcode < opClose && n > uint64(f.maxMessage-len(f.text)) {
		return engine.CloseTooBig
	}
	h.length = int(n)
	return nil
}

// readControl reads the payload of a control frame. It does not change a message that
// has begun.
func (f *frames) readControl(h header) ([]byte, error) {
	b, err := f.in.Peek(h.length)
	if err != nil {
		return nil, err
	}
	payload := f.control[:copy(f.control[:], b)]
	unmask(payload, h.key)
	f.in.Discard(h.length)
	return payload, nil
}

// readData reads the payload of a frame of a message.
func (f *frames) readData(h header) error {
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
		valid, ok := wire.ValidPrefix(f.text[f.checked:])
		if !ok {
			return engine.CloseInvalid
		}
		f.checked += valid
	}
	return nil
}

// unmask applies the mask to b, which also removes it, and returns the key for the next
// bytes.
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

// closeAnswer returns the close frame that answers the client's close frame. If the
// client's is not valid, the error is an engine.Close.
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
