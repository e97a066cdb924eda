package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// from is a connection that reads from r.
type from struct {
	net.Conn
	r io.Reader
}

func (f from) Read(b []byte) (int, error) { return f.r.Read(b) }

// serverFrame returns a frame of a server, which is not masked.
func serverFrame(op byte, payload []byte) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// frames returns the sizes of the payloads that c receives until it ends.
func frames(c *conn) (sizes []int, err error) {
	for {
		op, payload, ok, err := c.next()
		switch {
		case err != nil:
			return sizes, err
		case !ok:
			if err := c.fill(); err != nil {
				return sizes, err
			}
		case op != opText || bytes.Count(payload, []byte{'x'}) != len(payload):
			return sizes, errors.New("not the frame that was sent")
		default:
			sizes = append(sizes, len(payload))
		}
	}
}

func TestFramesComeWholeHoweverTheyAreRead(t *testing.T) {
	want := []int{0, 1, 125, 126, firstBuffer, 65535, 65536, maxBuffer + 5, 7}
	var stream []byte
	for _, n := range want {
		stream = append(stream, serverFrame(opText, bytes.Repeat([]byte{'x'}, n))...)
	}
	for name, r := range map[string]io.Reader{
		"at once":      bytes.NewReader(stream),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"by halves":    iotest.HalfReader(bytes.NewReader(stream)),
	} {
		got, err := frames(&conn{Conn: from{r: r}, in: make([]byte, firstBuffer)})
		if err != io.EOF || len(got) != len(want) {
			t.Errorf("%s: %d frames, %v; want %d", name, len(got), err, len(want))
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: frame %d has %d bytes; want %d", name, i, got[i], want[i])
			}
		}
	}
}

func TestFramesOfNoServerAreRefused(t *testing.T) {
	for name, stream := range map[string][]byte{
		"in parts":          {0x01, 1, 'x'},
		"with an extension": {0xc1, 1, 'x'},
		"masked":            {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"endless":           binary.BigEndian.AppendUint64([]byte{0x81, 127}, 1<<63),
	} {
		if _, err := frames(&conn{Conn: from{r: bytes.NewReader(stream)}, in: make([]byte, firstBuffer)}); !errors.Is(err, errFrame) {
			t.Errorf("a frame %s: %v; want %v", name, err, errFrame)
		}
	}
}

// FuzzFrames checks that no input from a server makes conn read beyond its buffer or grow it beyond
// the size of one frame.
func FuzzFrames(f *testing.F) {
	f.Add(serverFrame(opText, []byte("hello")))
	f.Add([]byte{0x81, 126, 0xff})
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := &conn{Conn: from{r: iotest.HalfReader(bytes.NewReader(stream))}, in: make([]byte, 16)}
		total := 0
		for {
			_, payload, ok, err := c.next()
			total += len(payload)
			if err != nil || !ok && c.fill() != nil {
				break
			}
		}
		if total > len(stream) || len(c.in) > maxFrame+14 {
			t.Fatalf("%d bytes of payload from %d; a buffer of %d", total, len(stream), len(c.in))
		}
	})
}
