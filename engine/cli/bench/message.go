package bench

import (
	"bytes"
	"encoding/json"
	"strings"
)

// header is at the beginning of the text of each message. Its fields have fixed numbers of hexadecimal digits, so that
// receivers find each field at a fixed offset and senders can overwrite it.
//
//	bench: RUN(8) SENDER(6) SEQ(8) PHASE(1) AT(12)
//
// RUN distinguishes runs in the same rooms.
type header struct {
	sender   uint32 // index in the run
	seq      uint32 // sequence number of the sender, from 0
	measured bool   // sent after the warm-up
	at       int64  // time of sending, in ns since the beginning of the run
}

const (
	magic      = "bench:"
	runDigits  = 8
	senderAt   = 0 // offset after RUN
	seqAt      = senderAt + 6
	phaseAt    = seqAt + 8
	timeAt     = phaseAt + 1
	digits     = timeAt + 12
	headerSize = len(magic) + runDigits + digits
)

// put writes h to b. b must be large enough.
func (h header) put(b []byte) {
	putHex(b[senderAt:seqAt], uint64(h.sender))
	putHex(b[seqAt:phaseAt], uint64(h.seq))
	b[phaseAt] = '0'
	if h.measured {
		b[phaseAt] = '1'
	}
	putHex(b[timeAt:digits], uint64(h.at))
}

// parseHeader is the inverse of put. ok is false if b does not begin with a header.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < digits {
		return h, false
	}
	sender, ok1 := hex(b[senderAt:seqAt])
	seq, ok2 := hex(b[seqAt:phaseAt])
	at, ok3 := hex(b[timeAt:digits])
	return header{uint32(sender), uint32(seq), b[phaseAt] == '1', int64(at)}, ok1 && ok2 && ok3
}

func putHex(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

func hex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// beginning returns the beginning of each payload of a run, up to the digits of the header.
func beginning(run string) []byte { return []byte(`{"message":"` + magic + run) }

// template returns a request to say size bytes in a room, and the offset of the header's digits in it.
func template(room, run string, size int) (request []byte, at int) {
	name, _ := json.Marshal(room) // the encoding of a string does not fail
	text := magic + run + strings.Repeat("0", digits) + strings.Repeat("x", size-headerSize)
	request = []byte(`{"event":"say","messageId":1,"room":` + string(name) + `,"message":"` + text + `"}`)
	return request, bytes.LastIndex(request, []byte(magic+run)) + len(magic+run)
}
