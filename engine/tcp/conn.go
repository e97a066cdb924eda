package tcp

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/tcp/stream"
	"github.com/mootchat/moot/engine/wire"
)

// conn is the engine's Sink for one client.
type conn struct {
	*stream.Stream
	leaving atomic.Bool // no more requests are carried out
}

const readBuffer = 1 << 10

// read carries out requests until the connection ends, and says why it does. It
// is where silent connections wait, on a stack that is small for that.
func (c *conn) read(ctx context.Context, peer *engine.Connection, lines *wire.Lines) engine.Close {
	buf := make([]byte, readBuffer)
	for {
		n, end := c.Read(buf)
		for line, err := range lines.Feed(buf[:n]) {
			if c.leaving.Load() {
				return engine.Close{}
			}
			if err == wire.ErrQuit {
				return engine.CloseQuit
			}
			carryOut(ctx, peer, line, err)
		}
		if end != nil {
			return engine.Close{}
		}
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
