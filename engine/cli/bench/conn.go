package bench

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// conn is the client's side of RFC 6455 for a bench: it reads unfragmented frames into one reused buffer. A client with more
// work per frame would measure itself.
type conn struct {
	net.Conn
	in   []byte // bytes that were read
	r, w int    // next returns in[r:w]

	writing sync.Mutex
	out     []byte
}

// Sizes of the buffer of a connection. The buffer is small at first, because there may be many connections, and grows when a
// read fills it.
const (
	firstBuffer = 2 << 10
	maxBuffer   = 64 << 10
	maxFrame    = MaxSize + 64<<10
)

// The opcodes of RFC 6455, section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// dial connects and upgrades to WebSocket.
func dial(ctx context.Context, u *url.URL) (*conn, error) {
	port := cmp.Or(u.Port(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
	address := net.JoinHostPort(u.Hostname(), port)
	var nc net.Conn
	var err error
	if u.Scheme == "wss" {
		nc, err = new(tls.Dialer).DialContext(ctx, "tcp", address)
	} else {
		nc, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	c, err := upgrade(nc, u)
	if err != nil {
		nc.Close()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return c, nil
}

func upgrade(nc net.Conn, u *url.URL) (*conn, error) {
	var key [16]byte
	_, _ = rand.Read(key[:]) // Read never fails
	target := *u
	target.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	request, err := http.NewRequest(http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Version", "13")
	request.Header.Set("Sec-WebSocket-Key", base64.StdEncoding.EncodeToString(key[:]))
	if err := request.Write(nc); err != nil {
		return nil, err
	}
	answer := bufio.NewReaderSize(nc, firstBuffer)
	response, err := http.ReadResponse(answer, request)
	if err != nil {
		return nil, fmt.Errorf("no answer to the upgrade: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 200)) // the body may be more specific than the status
		return nil, fmt.Errorf("no WebSocket: %s: %s", response.Status, strings.TrimSpace(string(why)))
	}
	c := &conn{Conn: nc, in: make([]byte, firstBuffer)}
	early, _ := answer.Peek(answer.Buffered()) // frames that were read with the answer
	c.w = copy(c.in, early)
	return c, nil
}

// errFrame is the error of a frame that a Moot server does not send.
var errFrame = errors.New("the server sent a WebSocket frame that moot bench does not support")

// next returns the next frame in the buffer. ok is false if the buffer has no complete frame. The payload is valid until the
// next fill.
func (c *conn) next() (op byte, payload []byte, ok bool, err error) {
	b := c.in[c.r:c.w]
	if len(b) < 2 {
		return 0, nil, false, nil
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 { // fragmented, with an extension, or masked
		return 0, nil, false, errFrame
	}
	head, size := 2, int(b[1])
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, int(min(binary.BigEndian.Uint64(b[2:]), maxFrame+1))
	case size >= 126:
		return 0, nil, false, nil
	}
	if size > maxFrame {
		return 0, nil, false, errFrame
	}
	if len(b) < head+size {
		if head+size > len(c.in) {
			c.grow(head + size)
		}
		return 0, nil, false, nil
	}
	c.r += head + size
	return b[0] & 0xf, b[head : head+size], true, nil
}

// grow replaces the buffer by one of n bytes. Payloads that next has returned stay valid.
func (c *conn) grow(n int) {
	in := make([]byte, n)
	c.w = copy(in, c.in[c.r:c.w])
	c.in, c.r = in, 0
}

// fill reads once from the connection. It overwrites payloads that next has returned.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.r > 0:
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	n, err := c.Read(c.in[c.w:])
	c.w += n
	if c.w == len(c.in) && len(c.in) < maxBuffer {
		c.grow(2 * len(c.in))
	}
	if n > 0 {
		return nil
	}
	return err
}

// write sends one frame. It may be called concurrently.
func (c *conn) write(op byte, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeLocked(op, payload)
}

// writeLocked is write for callers that hold c.writing.
func (c *conn) writeLocked(op byte, payload []byte) error {
	c.out = appendFrame(c.out[:0], op, payload)
	_, err := c.Conn.Write(c.out)
	return err
}

// appendFrame appends a frame of a client. A client must mask its payload. The mask is 0, which does not change the payload.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}
