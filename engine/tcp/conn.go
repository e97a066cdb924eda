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

// conn is the engine's Sink for one client.
type conn struct {
	*stream.Stream
	server  *Server
	peer    *engine.Connection
	lines   wire.Lines
	leaving atomic.Bool // no more requests are carried out
	late    *time.Timer // closes it unless the line that has begun ends; nil: it is short yet
}

// chunk is what is read at once. Who is silent has none.
type chunk [4 << 10]byte

// live reads until the connection ends; over is called after its socket has.
func (c *conn) live(ctx context.Context, over func()) {
	stop := context.AfterFunc(ctx, func() { c.peer.Close(engine.CloseShutdown) })
	var wake func()
	wake = func() {
		why, ended := c.read(ctx)
		if !ended {
			c.WaitReadable(wake)
			return
		}
		c.peer.Close(why)
		c.inTime()
		stop()
		c.peer.Done(context.WithoutCancel(ctx)) // also at the end of all: others must hear that it left
		c.End()
		over()
	}
	c.WaitReadable(wake)
}

// read carries out the requests in what has come. It says whether the connection
// ends by it, and why.
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
		if c.leaving.Load() {
			return engine.Close{}, true
		}
		if err == wire.ErrQuit {
			return engine.CloseQuit, true
		}
		carryOut(ctx, c.peer, line, err)
	}
	if lines == 0 {
		c.peer.Pace(max(chunkPrice, blankPrice*float64(c.lines.Blank())))
	}
	c.wait()
	return engine.Close{}, end != nil
}

// chunkPrice is what a chunk costs in which no line ends, in verbs: a line of the
// default limit is sixteen.
const chunkPrice = 1.0 / 16

// blankPrice is what a blank line costs in such a chunk.
const blankPrice = 1.0 / 64

var closeSlow = engine.Close{Code: engine.CloseIdle.Code, Reason: "line took too long"}

// wait gives a long line its time: else each connection could keep a message's
// worth of memory for ever.
func (c *conn) wait() {
	switch kept := c.lines.Kept(); {
	case !kept:
		c.inTime()
	case c.late == nil:
		c.late = time.AfterFunc(cmp.Or(c.server.LineTimeout, 10*time.Second), func() { c.peer.Close(closeSlow) })
	}
}

func (c *conn) inTime() {
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
}

func carryOut(ctx context.Context, peer *engine.Connection, line []byte, err error) {
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

// turnAway ends a connection that did not open.
func (c *conn) turnAway(last []byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(last)
	c.Close()
	c.End()
}

// Bytes is engine.Sink's.
func (c *conn) Bytes(f *wire.Frame) []byte { return f.Line() }

// Farewell is engine.Sink's: a line that says goodbye, and why if it was not the
// client who asked. A client that is gone gets none.
func (c *conn) Farewell(why engine.Close) []byte {
	c.leaving.Store(true)
	switch why.Code {
	case 0:
		return nil
	case engine.CloseQuit.Code:
		return []byte(bye + "}\r\n")
	}
	return append(goodbye(why.Reason), "}\r\n"...)
}

const bye = `{"status":"Bye","context":"api"`

func goodbye(reason string) []byte {
	return wire.AppendString([]byte(bye+`,"reason":`), reason)
}

// refusal is the line for a client that there is no place for.
func refusal(err error) []byte {
	line := goodbye(err.Error())
	var r *engine.Refusal
	if errors.As(err, &r) && r.RetryAfter > 0 {
		line = strconv.AppendInt(append(line, `,"retryAfter":`...), r.RetryAfter.Milliseconds(), 10)
	}
	return append(line, "}\r\n"...)
}
