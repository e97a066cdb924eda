package ws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
)

// reference reads frames from complete bytes by the rules of RFC 6455. Tests compare
// frames with it. It returns the frames and the close code of the first error, or 0 if
// there is none.
func reference(b []byte, maxMessage int) (got []string, code int) {
	var message []byte
	within := false
	for len(b) >= 2 {
		final, opcode, length := b[0]>>7 == 1, int(b[0]&0xf), uint64(b[1]&0x7f)
		control := opcode >= 8
		switch {
		case b[0]>>4&7 != 0, b[1]>>7 == 0, opcode > 2 && opcode < 8, opcode > 10,
			control && (!final || length > 125), opcode == 0 && !within, (opcode == 1 || opcode == 2) && within:
			return got, 1002
		case opcode == 2:
			return got, 1003
		}
		head := 2
		switch length {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if len(b) < head {
			return got, 0
		}
		if head > 2 {
			length = number(b[2:head])
			if length>>63 == 1 || head == 4 && length < 126 || head == 10 && length < 1<<16 {
				return got, 1002
			}
		}
		if !control {
			if !within {
				message = nil
			}
			if length > uint64(maxMessage-len(message)) {
				return got, 1009
			}
		}
		if len(b) < head+4 {
			return got, 0
		}
		key, payload := b[head:head+4], b[head+4:]
		whole := uint64(len(payload)) >= length
		payload = payload[:min(length, uint64(len(payload)))]
		b = b[head+4+len(payload):]
		plain := unmasked(payload, key)
		if control {
			if !whole {
				return got, 0
			}
			got = append(got, fmt.Sprintf("%d %q", opcode, plain))
			continue
		}
		message = append(message, plain...)
		within = !final || !whole
		if complete := whole && final; !prefixOfText(message, complete) {
			return got, 1007
		}
		if !whole {
			return got, 0
		}
		if final {
			got = append(got, fmt.Sprintf("1 %q", message))
		}
	}
	return got, 0
}

func number(bigEndian []byte) (n uint64) {
	for _, x := range bigEndian {
		n = n<<8 | uint64(x)
	}
	return n
}

func unmasked(b, key []byte) []byte {
	plain := make([]byte, len(b))
	for i := range b {
		plain[i] = b[i] ^ key[i%4]
	}
	return plain
}

// prefixOfText reports whether b is UTF-8. If complete is false, b may also be the
// beginning of UTF-8.
func prefixOfText(b []byte, complete bool) bool {
	if utf8.Valid(b) {
		return true
	}
	if complete {
		return false
	}
	for n := 1; n <= 3 && n <= len(b); n++ {
		if head, tail := b[:len(b)-n], b[len(b)-n:]; utf8.Valid(head) && canBegin(tail) {
			return true
		}
	}
	return false
}

// canBegin reports whether b is the beginning of a character.
func canBegin(b []byte) bool {
	var tries [][]byte
	for tries = [][]byte{b}; len(tries) > 0 && len(tries[0]) < utf8.UTFMax; {
		var next [][]byte
		for _, t := range tries {
			for _, x := range []byte{0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf} { // the bounds in RFC 3629
				longer := append(bytes.Clone(t), x)
				if utf8.Valid(longer) {
					return true
				}
				next = append(next, longer)
			}
		}
		tries = next
	}
	return false
}

// randomFrames returns frames, most of them valid.
func randomFrames(r *rand.Rand) []byte {
	pick := func(from ...byte) byte { return from[r.IntN(len(from))] }
	var b []byte
	for range 1 + r.IntN(8) {
		first := pick(0x81, 0x81, 0x01, 0x01, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x88)
		if r.IntN(20) == 0 {
			first = byte(r.IntN(256))
		}
		text := []string{"", "a", "é", "\xc3", "\xa9", "\xf0\x9f", "\x98\x80", "\xed", "\xa0\x80", "\xf4", "\x90", "\xe0", "\x80", "\x00", strings.Repeat("x", 125), strings.Repeat("y", 126), strings.Repeat("é", 150)}
		payload := text[r.IntN(len(text))]
		b = append(b, first)
		mask := byte(0x80)
		if r.IntN(40) == 0 {
			mask = 0
		}
		n := len(payload)
		switch {
		case r.IntN(40) == 0: // another length
			b = append(b, mask|126, byte(r.IntN(2)), byte(r.IntN(256)))
		case r.IntN(40) == 0:
			b = append(b, mask|127, byte(r.IntN(2)<<7), 0, 0, 0, 0, byte(r.IntN(2)), 0, byte(n))
		case n > 125:
			b = append(b, mask|126, byte(n>>8), byte(n))
		default:
			b = append(b, mask|byte(n))
		}
		key := [4]byte{byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}
		b = append(b, key[:]...)
		for i := range n {
			b = append(b, payload[i]^key[i%4])
		}
	}
	return b[:len(b)-r.IntN(1+min(len(b), 10))*r.IntN(2)]
}

func sameAsReference(t *testing.T, b []byte) {
	t.Helper()
	want, code := reference(b, fuzzLimit)
	for how, got := range map[string]func() ([]string, error){
		"at once":    func() ([]string, error) { return readFrames(bytes.NewReader(b)) },
		"one by one": func() ([]string, error) { return readFrames(iotest.OneByteReader(bytes.NewReader(b))) },
	} {
		read, err := got()
		is := 0
		if why, ok := err.(engine.Close); ok {
			is = why.Code
		}
		if fmt.Sprint(read) != fmt.Sprint(want) || is != code {
			t.Fatalf("%s: % x\nread %s, %d (%v)\nwant %s, %d", how, b, read, is, err, want, code)
		}
	}
}

// TestFramesMatchTheReference checks that frames reads valid and invalid frames like
// the reference.
func TestFramesMatchTheReference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		sameAsReference(t, randomFrames(r))
	}
}

// FuzzReference compares frames with the reference.
func FuzzReference(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(randomFrames(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) { sameAsReference(t, b) })
}
