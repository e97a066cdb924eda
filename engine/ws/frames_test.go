package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
)

const fuzzLimit = 300

// readFrames reads all frames of in.
func readFrames(in io.Reader) (got []string, err error) {
	f := frames{in: bufio.NewReaderSize(in, 256), maxMessage: fuzzLimit}
	for {
		if !f.inMessage {
			f.begin()
		}
		opcode, payload, err := f.next()
		if err != nil {
			return got, err
		}
		if opcode == opText && (len(payload) > fuzzLimit || !utf8.Valid(payload)) {
			return got, fmt.Errorf("%d bytes of text were accepted, valid: %t", len(payload), utf8.Valid(payload))
		}
		got = append(got, fmt.Sprintf("%d %q", opcode, payload))
	}
}

// FuzzFrames checks that the frames do not depend on how the bytes are split, that no message
// is longer than its limit or not UTF-8, and that reading ends with an engine.Close or
// io.EOF.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"\x81\x83\x01\x02\x03\x04abc", "\x01\x81\x00\x00\x00\x00\xc3\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00\xa9",
		"\x81\xfe\x00\x7e\x00\x00\x00\x00", "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00", "\x88\x82\x00\x00\x00\x00\x03\xe8", "\x82\x80", "\xf1\x80",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := readFrames(bytes.NewReader(b))
		bits, errBits := readFrames(iotest.OneByteReader(bytes.NewReader(b)))
		if fmt.Sprint(whole) != fmt.Sprint(bits) || fmt.Sprint(err) != fmt.Sprint(errBits) {
			t.Fatalf("at once %s, %v\none by one %s, %v", whole, err, bits, errBits)
		}
		if _, known := errors.AsType[engine.Close](err); !known && err != io.EOF {
			t.Fatalf("ended by %v", err)
		}
	})
}

// TestUnmask checks that the result of unmask does not depend on how the bytes are
// split.
func TestUnmask(t *testing.T) {
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	for n := range 40 {
		for cut := range n + 1 {
			plain, b := make([]byte, n), make([]byte, n)
			for i := range b {
				plain[i] = byte(i * 7)
				b[i] = plain[i] ^ mask[i%4]
			}
			key := binary.LittleEndian.Uint32(mask[:])
			unmask(b[cut:], unmask(b[:cut], key))
			if !bytes.Equal(b, plain) {
				t.Fatalf("%d bytes, cut at %d: % x, want % x", n, cut, b, plain)
			}
		}
	}
}

// TestFramesAllocateNothing checks that a message allocates nothing if the reader has
// read a message of that length before.
func TestFramesAllocateNothing(t *testing.T) {
	wire := append([]byte("\x81\xfe\x01\x00\x00\x00\x00\x00"), bytes.Repeat([]byte("é"), 128)...)
	in := bytes.NewReader(nil)
	f := frames{in: bufio.NewReader(in), maxMessage: fuzzLimit}
	if n := testing.AllocsPerRun(100, func() {
		in.Reset(wire)
		f.begin()
		if _, payload, err := f.next(); err != nil || len(payload) != 256 {
			t.Fatal(len(payload), err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a message", n)
	}
}

func BenchmarkFrames(b *testing.B) {
	for _, n := range []int{16, 120} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wire := append([]byte{0x81, 0x80 | byte(n), 1, 2, 3, 4}, bytes.Repeat([]byte("a"), n)...)
			key := binary.LittleEndian.Uint32(wire[2:])
			unmask(wire[6:], key)
			in := bytes.NewReader(nil)
			f := frames{in: bufio.NewReader(in), maxMessage: fuzzLimit}
			b.ReportAllocs()
			for b.Loop() {
				in.Reset(wire)
				f.begin()
				if _, _, err := f.next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
