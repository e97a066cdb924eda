package tcp

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/stream"
	"github.com/mootchat/moot/engine/wire"
)

// conn is one client. It implements engine.Sink.
type conn struct {
	*stream.Stream
	server    *Server
	peer      *engine.Connection
	lines     wire.Lines
	closing   atomic.Bool // further requests are ignored
	counted   int         // bytes of memory that count for a line that has not ended
	lineTimer *time.Timer // closes the connection if a long line does not end; nil: no line is long
}

// chunk is the buffer of one read. A silent connection has none.
type chunk [4 << 10]byte

// serve runs the client's requests until the connection ends, and calls done after the
// socket is closed.
func (c *conn) serve(ctx context.Context, done func()) {
	stop := context.AfterFunc(ctx, func() { c.peer.Close(engine.CloseShutdown) })
	var wake func()
	wake = func() {
		why, ended := c.read(ctx)
		if !ended {
			c.WaitReadable(wake)
			return
		}
		c.peer.Close(why)
		c.stopLineTimer()
		c.count(0)
		stop()
		c.peer.Done(context.WithoutCancel(ctx)) // also at shutdown: the other members must learn that it left
		c.End()
		done()
	}
	c.WaitReadable(wake)
}

// read runs the requests that have arrived. ended reports whether the connection ends;
// why is the close that ends it.
func (c *conn) read(ctx context.Context) (why engine.Close, ended bool) {
	buf, ok := c.server.chunks.Get().(*chunk)
	if !ok {
		buf = new(chunk)
	}
	defer c.server.chunks.Put(buf)
	n, end := c.Read(buf[:])
	c.lines.Max = c.peer.MessageBytes()
	lines := 0
	for line, err := range c.lines.Feed(buf[:n]) {
		lines++
		if c.closing.Load() {
			return engine.Close{}, true
		}
		if err == wire.ErrQuit {
			return engine.CloseQuit, true
		}
		handle(ctx, c.peer, line, err)
	}
	if lines == 0 {
		c.peer.Pace(max(chunkPrice, blankPrice*float64(c.lines.Blank())))
	}
	c.limitLine()
	if !c.count(c.lines.Pending()) {
		return engine.CloseIncomplete, true
	}
	return engine.Close{}, end != nil
}

// count sets the bytes of memory that count for a line that has not ended. It reports whether the
// tenant's clients stay within their memory; see engine.Connection.Receive.
func (c *conn) count(bytes int) bool {
	if bytes == c.counted {
		return true
	}
	change := bytes - c.counted
	c.counted = bytes
	return c.peer.Receive(change)
}

// chunkPrice is the price, in verbs, of a chunk in which no line ends. A line of the
// default limit has sixteen chunks.
const chunkPrice = 1.0 / 16

// blankPrice is the price of a blank line in such a chunk.
const blankPrice = 1.0 / 64

var closeSlow = engine.Close{Code: engine.CloseIdle.Code, Reason: "line took too long"}

// limitLine limits the time of a long line. Without the limit, each connection could
// hold the memory of a message for ever.
func (c *conn) limitLine() {
	switch long := c.lines.Long(); {
	case !long:
		c.stopLineTimer()
	case c.lineTimer == nil:
		c.lineTimer = time.AfterFunc(cmp.Or(c.server.LineTimeout, 10*time.Second), func() { c.peer.Close(closeSlow) })
	}
}

func (c *conn) stopLineTimer() {
	if c.lineTimer != nil {
		c.lineTimer.Stop()
		c.lineTimer = nil
	}
}

// handle runs the request in a line, or answers with the error of the line.
func handle(ctx context.Context, peer *engine.Connection, line []byte, err error) {
	var req wire.Request
	if err == nil {
		req, err = wire.ParseLine(line)
	}
	if err != nil {
		peer.Reject(err.Error(), nil)
		return
	}
	peer.Do(ctx, req)
}

// refuse closes a connection that is not in the engine.
func (c *conn) refuse(last []byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(last)
	c.Close()
	c.End()
}

// Bytes implements engine.Sink.
func (c *conn) Bytes(f *wire.Frame) []byte { return f.Line() }

// Farewell implements engine.Sink. It returns the last line: with the reason and the time to come back, without a
// reason if the client requested the close, or nothing if the connection was lost.
func (c *conn) Farewell(why engine.Close) []byte {
	c.closing.Store(true)
	switch why.Code {
	case 0:
		return nil
	case engine.CloseQuit.Code:
		return []byte(bye + "}\r\n")
	}
	last := goodbye(why.Reason)
	if why.RetryAfter > 0 {
		last = strconv.AppendInt(append(last, `,"retryAfter":`...), why.RetryAfter.Milliseconds(), 10)
	}
	return append(last, "}\r\n"...)
}

const bye = `{"status":"Bye","context":"api"`

func goodbye(reason string) []byte {
	return wire.AppendString([]byte(bye+`,"reason":`), reason)
}

// refusal returns the line for a client that the engine has refused.
func refusal(err error) []byte {
	line := goodbye(err.Error())
	var r *engine.Refusal
	if errors.As(err, &r) && r.RetryAfter > 0 {
		line = strconv.AppendInt(append(line, `,"retryAfter":`...), r.RetryAfter.Milliseconds(), 10)
	}
	return append(line, "}\r\n"...)
}
