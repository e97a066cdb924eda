package bench

import (
	"bytes"
	"encoding/json"
	"strings"
)

// header begins the text of every message, in hexadecimal digits of fixed
// number: a receiver finds everything at its place, and a sender overwrites it
// in place.
//
//	bench: RUN(8) SENDER(6) SEQ(8) PHASE(1) AT(12)
//
// RUN tells the messages of this run from those of another in the same rooms.
type header struct {
	sender   uint32 // index among those of the run
	seq      uint32 // of the sender's messages, from 0
	measured bool   // sent after the warm-up
	at       int64  // when it was sent, in ns since the run's beginning
}

const (
	magic      = "bench:"
	runDigits  = 8
	senderAt   = 0 // of the digits behind the run
	seqAt      = senderAt + 6
	phaseAt    = seqAt + 8
	timeAt     = phaseAt + 1
	digits     = timeAt + 12
	headerSize = len(magic) + runDigits + digits
)

// put writes the digits of h to b, which has room for them.
func (h header) put(b []byte) {
	putHex(b[senderAt:seqAt], uint64(h.sender))
	putHex(b[seqAt:phaseAt], uint64(h.seq))
	b[phaseAt] = '0'
	if h.measured {
		b[phaseAt] = '1'
	}
	putHex(b[timeAt:digits], uint64(h.at))
}

// parseHeader is the inverse of put; !ok if b is too short or holds other text.
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

// beginning is how every payload of a run begins, up to the digits of its
// header.
func beginning(run string) []byte { return []byte(`{"message":"` + magic + run) }

// template is the request to say size bytes in a room, and where in it the
// digits of the header go.
func template(room, run string, size int) (request []byte, at int) {
	name, _ := json.Marshal(room) // a string always can be
	text := magic + run + strings.Repeat("0", digits) + strings.Repeat("x", size-headerSize)
	request = []byte(`{"event":"say","messageId":1,"room":` + string(name) + `,"message":"` + text + `"}`)
	return request, bytes.LastIndex(request, []byte(magic+run)) + len(magic+run)
}
