package ws

import (
	"bufio"
	"bytes"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine/stream"
)

// acceptOptions do not change.
var acceptOptions = websocket.AcceptOptions{
	InsecureSkipVerify: true, // the origin is checked by originAllowed
	CompressionMode:    websocket.CompressionDisabled,
}

// hijacker takes the socket from net/http after coder/websocket has answered the
// handshake. The Conn of coder/websocket gets no socket, because a [reader] reads the
// frames.
type hijacker struct {
	http.ResponseWriter
	stream *stream.Stream
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// net/http's buffer may contain bytes that the client sent after its handshake.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.stream = stream.New(c, bytes.Clone(ahead))
	return noConn{}, bufio.NewReadWriter(bufio.NewReaderSize(noConn{}, 0), bufio.NewWriterSize(noConn{}, 1)), nil
}

// noConn stands in for the socket of a Conn that is not used.
type noConn struct{ net.Conn }

func (noConn) Close() error { return nil }
