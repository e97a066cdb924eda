package ws

import (
	"bufio"
	"bytes"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine/stream"
)

// acceptOptions are nobody's to change.
var acceptOptions = websocket.AcceptOptions{
	InsecureSkipVerify: true, // the origin was looked at already
	CompressionMode:    websocket.CompressionDisabled,
}

// hijacker takes the socket from net/http when coder/websocket has answered the
// handshake. The Conn that it makes then gets nothing: a [reader] reads.
type hijacker struct {
	http.ResponseWriter
	stream *stream.Stream
}

// Hijack is http.Hijacker's.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the client sent right behind its handshake is in net/http's buffer.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.stream = stream.New(c, bytes.Clone(ahead))
	return nowhere{}, bufio.NewReadWriter(bufio.NewReaderSize(nowhere{}, 0), bufio.NewWriterSize(nowhere{}, 1)), nil
}

// nowhere is the socket of a Conn that is not used.
type nowhere struct{ net.Conn }

func (nowhere) Close() error { return nil }
