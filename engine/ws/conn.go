package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// conn is one WebSocket. It implements engine.Sink.
type conn struct {
	*stream.Stream
	server *Server
	peer   *engine.Connection
	primus bool
	answer []byte // to the handshake; nil after the engine has it

	closing    atomic.Bool // further requests are ignored
	closeFrame []byte      // answers the client's close frame; used by the reader

	position // in the server's wheel
}

// open adds the connection to the engine and serves it. It calls done after the socket is
// closed.
func (c *conn) open(ctx context.Context, seat *engine.Reservation, info engine.Info, done func()) {
	peer, err := seat.Open(ctx, info, c)
	if err != nil {
		var why engine.Close
		errors.As(err, &why)
		c.refuse(why)
		done()
		return
	}
	c.peer, c.answer = peer, nil
	if !c.server.wheel.add(c) {
		c.end(ctx, engine.CloseShutdown)
		done()
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
		done()
	}
	c.WaitReadable(wake)
}

func (c *conn) end(ctx context.Context, why engine.Close) {
	c.peer.Close(why)
	c.peer.Done(context.WithoutCancel(ctx)) // also at shutdown: the other members must learn that it left
	c.End()
}

// refuse answers the handshake of a connection that is not in the engine, and closes the
// connection.
func (c *conn) refuse(why engine.Close) { c.finish(append(c.answer, c.Farewell(why)...)) }

// finish writes the last bytes of a connection that is not in the engine.
func (c *conn) finish(last []byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(last)
	c.Close()
	c.End()
}

// Bytes implements engine.Sink.
func (c *conn) Bytes(f *wire.Frame) []byte { return f.WebSocket() }

// Farewell implements engine.Sink. If why is the zero Close, the connection was lost,
// or the reader has set closeFrame.
func (c *conn) Farewell(why engine.Close) []byte {
	c.closing.Store(true)
	if why.Code == 0 {
		return c.closeFrame
	}
	var b []byte
	if c.primus && why.Final() {
		b = append(b, primusClose.WebSocket()...)
	}
	if !c.primus && why.RetryAfter > 0 {
		b = append(b, bye(why).WebSocket()...)
	}
	return appendClose(b, why)
}

// bye returns the last frame of a connection that should come back: the reason of the close frame stays that of older versions.
func bye(why engine.Close) *wire.Frame {
	b := wire.AppendString([]byte(`{"status":"Bye","context":"api","reason":`), why.Reason)
	b = strconv.AppendInt(append(b, `,"retryAfter":`...), why.RetryAfter.Milliseconds(), 10)
	return wire.FrameOf(append(b, '}'))
}

const maxReason = 123 // bytes: a control frame has 125, the code two

// appendClose appends a close frame. It truncates a reason that is too long.
func appendClose(dst []byte, why engine.Close) []byte {
	reason := strings.ToValidUTF8(why.Reason, "\uFFFD")
	if len(reason) > maxReason {
		end := maxReason
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = append(dst, fin|opClose, byte(2+len(reason)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(why.Code))
	return append(dst, reason...)
}
