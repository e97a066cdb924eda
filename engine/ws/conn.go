package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// conn is one WebSocket: the engine's Sink.
type conn struct {
	*stream.Stream
	server *Server
	peer   *engine.Connection
	primus bool

	leaving atomic.Bool // no more requests are carried out
	parting []byte      // the reader's: the close frame that answers the client's

	place // in the server's wheel
}

// open lets the connection in; over is called when all is over, after its socket
// has ended.
func (c *conn) open(ctx context.Context, seat *engine.Seat, info engine.Info, over func()) {
	peer, err := seat.Open(ctx, info, c)
	if err != nil {
		var why engine.Close
		errors.As(err, &why)
		c.turnAway(why)
		over()
		return
	}
	c.peer = peer
	if !c.server.wheel.add(c) {
		c.end(ctx, engine.CloseShutdown)
		over()
		return
	}
	var wake func()
	wake = func() {
		why, ended := c.server.readers.serve(ctx, c)
		if !ended {
			c.WaitReadable(wake)
			return
		}
		c.server.wheel.remove(c)
		c.end(ctx, why)
		over()
	}
	c.WaitReadable(wake)
}

func (c *conn) end(ctx context.Context, why engine.Close) {
	c.peer.Close(why)
	c.peer.Done(context.WithoutCancel(ctx)) // also at the end of all: others must hear that it left
	c.End()
}

// turnAway ends a connection that did not open.
func (c *conn) turnAway(why engine.Close) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(c.Farewell(why))
	c.Close()
	c.End()
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

const longestReason = 123

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
