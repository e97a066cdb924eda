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

// reader reads for one connection at a time, while that has something to say: between
// two messages it keeps nothing of a connection. Connections that are silent share a
// few readers, and have none.
//
// It is the socket as frames sees it. All its methods are called by the one goroutine
// that reads.
type reader struct {
	*conn // that it reads for
	frames

	taken int  // bytes that were read for the message, frames and all
	waste bool // they were too many
	begun bool // something of the message is here: the rest of it is waited for only so long
	timed bool // the socket has a deadline for that
	late  bool // the deadline has passed
}

const readBuffer = 4 << 10

func newReader() *reader {
	r := &reader{}
	r.in = bufio.NewReaderSize(r, readBuffer)
	return r
}

// readers are those that read for nobody now.
type readers struct {
	idle sync.Pool
}

// serve has a reader carry out what has come of c's requests. It says whether
// the connection ends by it, and why.
func (p *readers) serve(ctx context.Context, c *conn) (why engine.Close, ended bool) {
	r, ok := p.idle.Get().(*reader)
	if !ok {
		r = newReader()
	}
	defer p.idle.Put(r)
	r.longest = c.peer.MessageBytes()
	return r.serve(ctx, c)
}

// serve reads for c until nothing is left of what has come, or the connection
// ends.
func (r *reader) serve(ctx context.Context, c *conn) (why engine.Close, ended bool) {
	r.conn = c
	for {
		if why, ended = r.message(ctx); ended || r.in.Buffered() == 0 {
			break
		}
	}
	r.rest()
	r.conn = nil
	if ended {
		r.in.Reset(r)
		r.waste, r.late = false, false
	}
	return why, ended
}

// message takes one message with the control frames within it, or one control frame
// that comes before a message.
func (r *reader) message(ctx context.Context) (why engine.Close, ended bool) {
	r.rest()
	r.begin()
	r.taken, r.begun = 0, r.in.Buffered() > 0
	for {
		opcode, payload, err := r.next()
		switch {
		case err != nil:
			return r.whyEnded(err), true
		case opcode == opText:
			return r.receive(ctx, payload)
		case opcode == opClose:
			if r.parting, err = closeAnswer(payload); err != nil {
				return r.whyEnded(err), true
			}
			return engine.Close{}, true
		case opcode == opPing:
			r.peer.SendRaw(append([]byte{fin | opPong, byte(len(payload))}, payload...))
		}
		r.peer.Pace(1)
		if !r.within {
			return engine.Close{}, false
		}
	}
}

// receive carries out the request in a message.
func (r *reader) receive(ctx context.Context, message []byte) (why engine.Close, ended bool) {
	req, err := r.parse(message)
	switch {
	case r.leaving.Load():
		return engine.Close{}, true
	case err == nil:
		r.peer.Do(ctx, req)
	case err != errHeartbeat:
		r.peer.Reject(err.Error(), nil)
	}
	return engine.Close{}, false
}

// errHeartbeat is for a message that was one of Primus's own strings.
var errHeartbeat = errors.New("heartbeat")

// parse makes a request of a message. The error is for the client.
func (r *reader) parse(message []byte) (wire.Request, error) {
	if r.primus && r.answerPrimus(message) {
		return wire.Request{}, errHeartbeat
	}
	return wire.ParseRequest(message)
}

// mostFraming bounds the bytes that a message takes on its way, as a multiple of
// those that it may have: a fragment of one byte takes seven. Fragments without any
// have no other bound.
const mostFraming = 8

var (
	closeSlow  = engine.Close{Code: engine.CloseIdle.Code, Reason: "message took too long"}
	closeWaste = engine.Close{Code: engine.CloseTooBig.Code, Reason: "too many fragments"}
)

// whyEnded says how the connection ends after an error.
func (r *reader) whyEnded(err error) engine.Close {
	why, wrong := err.(engine.Close)
	switch {
	case wrong:
		return why
	case r.waste:
		return closeWaste
	case r.late:
		return closeSlow
	}
	return engine.Close{} // the socket has ended
}

// Read reads from the socket, which has a deadline once a message has begun.
func (r *reader) Read(p []byte) (int, error) {
	if r.begun && !r.timed {
		r.timed = true
		r.SetReadDeadline(time.Now().Add(r.server.cfg.MessageTimeout))
	}
	r.begun = true
	n, err := r.Stream.Read(p)
	if r.taken += n; r.taken > mostFraming*r.longest+readBuffer {
		r.waste = true
		return 0, errWaste
	}
	r.late = errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

var errWaste = errors.New("too many fragments")

// rest takes the message's deadline from the socket.
func (r *reader) rest() {
	if r.timed {
		r.timed = false
		r.SetReadDeadline(time.Time{})
	}
}
