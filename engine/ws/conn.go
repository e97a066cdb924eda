package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/tcp/stream"
	"github.com/mootchat/moot/engine/wire"
)

// conn is one WebSocket: the engine's Sink, and the reader's state.
type conn struct {
	*stream.Stream
	server *Server
	ws     *websocket.Conn
	peer   *engine.Connection
	primus bool

	leaving atomic.Bool // no more requests are carried out

	// The reader's own.
	lost    bool   // the socket ended; otherwise it was the protocol that was broken
	parting []byte // the close frame that answers the client's, or says how it broke the protocol

	place // in the server's wheel
}

// closeProtocol is for what coder/websocket leaves without a close frame of its
// own.
var closeProtocol = engine.Close{Code: 1002, Reason: "protocol error"}

// serve is the reader's goroutine: the life of the connection from the handshake
// to the end of its socket.
func (c *conn) serve(ctx context.Context, seat *engine.Seat, info engine.Info) {
	peer, err := seat.Open(ctx, info, c)
	if err != nil {
		var why engine.Close
		errors.As(err, &why)
		c.turnAway(why)
		return
	}
	c.peer = peer
	if c.server.wheel.add(c) {
		peer.Close(c.read(ctx))
		c.server.wheel.remove(c)
	} else {
		peer.Close(engine.CloseShutdown)
	}
	c.ws.CloseNow()
	peer.Done(context.WithoutCancel(ctx)) // also at the end of all: others must hear that it left
	c.End()
}

// turnAway ends a connection that did not open.
func (c *conn) turnAway(why engine.Close) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(c.Farewell(why))
	c.Close()
	c.ws.CloseNow()
	c.End()
}

// read carries out requests until the connection ends, and says why it does. It
// is where silent connections wait: what it holds on its stack, and what it calls
// down to the socket, is paid for by every one of them.
func (c *conn) read(ctx context.Context) engine.Close {
	// A context that can end costs coder/websocket two allocations and a lock for
	// each read. It is Close of the socket that ends reading.
	forever := context.WithoutCancel(ctx)
	for {
		kind, message, err := c.ws.Reader(forever)
		switch {
		case err != nil:
			return c.whyEnded(err)
		case kind == websocket.MessageBinary:
			return engine.CloseBinary
		}
		if why, ended := c.receive(ctx, message); ended {
			return why
		}
	}
}

// receive reads a message and carries out the request in it. It says whether the
// connection ends by it, and why.
func (c *conn) receive(ctx context.Context, message io.Reader) (why engine.Close, ended bool) {
	req, err := c.parse(message)
	why, ended = err.(engine.Close)
	switch {
	case ended:
		return why, true
	case c.leaving.Load():
		return engine.Close{}, true
	case err == nil:
		c.peer.Do(ctx, req)
	case err != errHeartbeat:
		c.peer.Reject(err.Error(), nil)
	}
	return engine.Close{}, false
}

// errHeartbeat is for a message that was one of Primus's own strings.
var errHeartbeat = errors.New("heartbeat")

// parse reads a message. The error is an engine.Close if the connection ends by
// it; any other is for the client.
func (c *conn) parse(message io.Reader) (wire.Request, error) {
	// One buffer for whoever has a message on its way, none for who is silent.
	buf := c.server.buffers.Get().(*bytes.Buffer)
	defer c.server.buffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(message); err != nil {
		return wire.Request{}, c.whyEnded(err)
	}
	if c.primus && c.answerPrimus(buf.Bytes()) {
		return wire.Request{}, errHeartbeat
	}
	req, err := wire.ParseRequest(buf.Bytes())
	if err == wire.ErrUTF8 {
		err = engine.CloseInvalid
	}
	return req, err
}

// whyEnded says how the connection ends after coder/websocket has given it up.
func (c *conn) whyEnded(err error) engine.Close {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return engine.CloseTooBig
	case c.lost || c.parting != nil:
		return engine.Close{}
	}
	return closeProtocol
}

// Bytes is engine.Sink's.
func (c *conn) Bytes(f *wire.Frame) []byte { return f.WebSocket() }

// Farewell is engine.Sink's. The connection was lost, or its reader ended it with
// the zero Close and a parting frame.
func (c *conn) Farewell(why engine.Close) []byte {
	c.leaving.Store(true)
	if why.Code == 0 {
		return c.parting
	}
	var b []byte
	if c.primus && why.Final() {
		b = append(b, primusClose.WebSocket()...)
	}
	return appendClose(b, why)
}

// Of RFC 6455, section 5.2.
const (
	fin     = 0x80
	opClose = 8
	opPing  = 9

	closeReason   = 4 // where the reason begins in a close frame
	longestReason = 123
)

// appendClose appends a close frame. What is too long of the reason is left out.
func appendClose(dst []byte, why engine.Close) []byte {
	reason := strings.ToValidUTF8(why.Reason, "\uFFFD")
	if len(reason) > longestReason {
		end := longestReason
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = append(dst, fin|opClose, byte(2+len(reason)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(why.Code))
	return append(dst, reason...)
}
