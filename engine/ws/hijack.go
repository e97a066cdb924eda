package ws

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/tcp/stream"
)

// hijacker gives coder/websocket a socket of ours in place of the real one, and
// buffers that are as small as what goes through them.
type hijacker struct {
	http.ResponseWriter
	conn *conn
}

const (
	readBuffer  = 1 << 10
	writeBuffer = 256 // more than the largest control frame: each comes to control.Write whole
)

// Hijack is http.Hijacker's.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the client sent right behind its handshake is in net/http's buffer.
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.conn.Stream = stream.New(c, bytes.Clone(ahead))
	k := control{h.conn}
	return k, bufio.NewReadWriter(bufio.NewReaderSize(k, readBuffer), bufio.NewWriterSize(k, writeBuffer)), nil
}

// control is a connection as coder/websocket sees it: it reads all there is, and
// writes control frames. All its methods but Close are called by the reader.
type control struct{ *conn }

// Read is net.Conn's. It notes that the socket has ended, which tells a lost
// client from one that broke the protocol.
func (k control) Read(p []byte) (int, error) {
	n, err := k.Stream.Read(p)
	if err != nil {
		k.lost = true
	}
	return n, err
}

// Write takes one whole control frame. A close frame is kept for [conn.Farewell]:
// nothing may follow it.
func (k control) Write(p []byte) (int, error) {
	frame := bytes.Clone(p)
	switch {
	case frame[0] != fin|opClose:
		k.peer.SendRaw(frame)
	case utf8.Valid(frame[min(len(frame), closeReason):]):
		k.parting = frame
	default: // coder/websocket repeats the client's reason as it is
		k.parting = appendClose(nil, engine.CloseInvalid)
	}
	return len(p), nil
}

// Close does nothing: the outbox closes the socket once all has been written.
func (k control) Close() error { return nil }
