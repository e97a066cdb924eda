package ws

import (
	"bufio"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// reader reads the messages of one connection at a time. Between two messages it keeps
// no data of a connection. Therefore many connections share a few readers, and a silent
// connection has no reader.
//
// reader is also the io.Reader of its frames. Only one goroutine at a time calls its
// methods.
type reader struct {
	*conn // nil while the reader is idle
	frames

	received    int  // bytes of the message, frame headers included
	fragmented  bool // they were more than maxFraming allows
	started     bool // the first bytes of the message have arrived: Read sets a deadline for the others
	hasDeadline bool // the socket has that deadline
	timedOut    bool // the deadline has passed
	counted     int  // bytes of memory that count for the message; see count
	crowded     bool // the incomplete messages of the tenant's clients exceed their memory
}

const readBuffer = 4 << 10

func newReader() *reader {
	r := &reader{}
	r.in = bufio.NewReaderSize(r, readBuffer)
	return r
}

// readers are the idle readers.
type readers struct {
	idle sync.Pool
}

// serve runs the requests of c that have arrived, with an idle reader. ended reports
// whether the connection ends; why is the close that ends it.
func (p *readers) serve(ctx context.Context, c *conn) (why engine.Close, ended bool) {
	r, ok := p.idle.Get().(*reader)
	if !ok {
		r = newReader()
	}
	defer p.idle.Put(r)
	r.maxMessage = c.peer.MessageBytes()
	return r.serve(ctx, c)
}

// serve reads messages of c until no more bytes have arrived, or the connection ends.
func (r *reader) serve(ctx context.Context, c *conn) (why engine.Close, ended bool) {
	r.conn = c
	for {
		if why, ended = r.message(ctx); ended || r.in.Buffered() == 0 {
			break
		}
	}
	r.clearDeadline()
	r.count(0)
	r.conn = nil
	if ended {
		r.in.Reset(r)
		r.fragmented, r.timedOut, r.crowded = false, false, false
	}
	return why, ended
}

// message handles one message and the control frames within it, or one control frame
// before a message.
func (r *reader) message(ctx context.Context) (why engine.Close, ended bool) {
	r.clearDeadline()
	r.count(0)
	r.begin()
	r.received, r.started = 0, r.in.Buffered() > 0
	for {
		opcode, payload, err := r.next()
		switch {
		case err != nil:
			return r.closeFor(err), true
		case opcode == opText:
			return r.receive(ctx, payload)
		case opcode == opClose:
			if r.closeFrame, err = closeAnswer(payload); err != nil {
				return r.closeFor(err), true
			}
			return engine.Close{}, true
		case opcode == opPing:
			r.peer.SendRaw(append([]byte{fin | opPong, byte(len(payload))}, payload...))
		}
		r.peer.Pace(1)
		if !r.inMessage {
			return engine.Close{}, false
		}
	}
}

// receive runs the request in a message.
func (r *reader) receive(ctx context.Context, message []byte) (why engine.Close, ended bool) {
	req, err := r.parse(message)
	switch {
	case r.closing.Load():
		return engine.Close{}, true
	case err == nil:
		r.peer.Do(ctx, req)
	case err != errHeartbeat:
		r.peer.Reject(err.Error(), nil)
	}
	return engine.Close{}, false
}

// errHeartbeat marks a message that is a string of Primus and not a request.
var errHeartbeat = errors.New("heartbeat")

// parse parses a message. The text of the error is for the client.
func (r *reader) parse(message []byte) (wire.Request, error) {
	if r.primus && r.answerPrimus(message) {
		return wire.Request{}, errHeartbeat
	}
	return wire.ParseRequest(message)
}

// maxFraming limits the bytes of a message with its frame headers, as a multiple of the
// longest message. A fragment of one byte takes seven bytes, and the number of empty
// fragments has no other limit.
const maxFraming = 8

var (
	closeSlow       = engine.Close{Code: engine.CloseIdle.Code, Reason: "message took too long"}
	closeFragmented = engine.Close{Code: engine.CloseTooBig.Code, Reason: "too many fragments"}
)

// closeFor returns the close that corresponds to an error of next.
func (r *reader) closeFor(err error) engine.Close {
	why, wrong := err.(engine.Close)
	switch {
	case wrong:
		return why
	case r.fragmented:
		return closeFragmented
	case r.timedOut:
		return closeSlow
	case r.crowded:
		return engine.CloseIncomplete
	}
	return engine.Close{} // the connection was lost
}

// perIncomplete is the approximate memory, in bytes, of a reader and its goroutine while they wait for the rest of a
// message.
const perIncomplete = 16 << 10

// count sets the bytes of memory that count for the message. It reports whether the tenant's clients stay within
// their memory; see engine.Connection.Receive. A message that arrives in one piece does not count.
func (r *reader) count(bytes int) bool {
	if bytes == r.counted {
		return true
	}
	change := bytes - r.counted
	r.counted = bytes
	return r.peer.Receive(change)
}

// Read reads from the socket. Once a message has started, it sets a deadline and counts the message.
func (r *reader) Read(p []byte) (int, error) {
	if r.started && !r.count(perIncomplete+len(r.text)*5/4) {
		r.crowded = true
		return 0, errCrowded
	}
	if r.started && !r.hasDeadline {
		r.hasDeadline = true
		r.SetReadDeadline(time.Now().Add(r.server.cfg.MessageTimeout))
	}
	r.started = true
	n, err := r.Stream.Read(p)
	if r.received += n; r.received > maxFraming*r.maxMessage+readBuffer {
		r.fragmented = true
		return 0, errFragmented
	}
	r.timedOut = errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

var (
	errFragmented = errors.New("too many fragments")
	errCrowded    = errors.New("too many incomplete messages")
)

// clearDeadline removes the deadline of a message from the socket.
func (r *reader) clearDeadline() {
	if r.hasDeadline {
		r.hasDeadline = false
		r.SetReadDeadline(time.Time{})
	}
}
