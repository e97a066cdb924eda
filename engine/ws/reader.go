package ws

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// reader reads for one connection at a time, while that has something to say:
// between two messages coder/websocket's Conn knows nothing that would be the
// connection's own. Those that are silent share a few readers, and have none.
//
// It is the socket as its Conn sees it. All its methods are called by the one
// goroutine that reads.
type reader struct {
	*conn   // whom it reads for
	ws      *websocket.Conn
	in      *bufio.Reader
	text    bytes.Buffer // the message
	longest int          // that it may be, in bytes

	taken int  // bytes that were read for the message, frames and all
	waste bool // they were too many
	begun bool // something of the message is here: the rest of it is waited for only so long
	timed bool // the socket has a deadline for that
	late  bool // the deadline has passed
	lost  bool // the socket has ended; otherwise it was the protocol that was broken
	spent bool // not for another connection
}

const (
	readBuffer  = 4 << 10
	writeBuffer = 128 // more than the largest control frame: each comes to Write whole
)

// newReader makes a reader with a handshake that no client takes part in:
// coder/websocket makes its Conns no other way.
func newReader() *reader {
	r := &reader{}
	r.in = bufio.NewReaderSize(r, readBuffer)
	request := &http.Request{Method: http.MethodGet, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}}
	options := acceptOptions
	// What it does in the midst of a message may have a timer that ends the Conn
	// a moment later.
	options.OnPingReceived = func(context.Context, []byte) bool { r.spent = true; r.peer.Pace(1); return true }
	options.OnPongReceived = func(context.Context, []byte) { r.spent = true; r.peer.Pace(1) }
	ws, err := websocket.Accept(rehearsal{r, http.Header{}}, request, &options)
	if err != nil {
		panic(fmt.Sprintf("ws: a handshake without a client failed: %v", err))
	}
	r.ws = ws
	r.in.Reset(r)
	return r
}

// rehearsal is the http.ResponseWriter of newReader's handshake.
type rehearsal struct {
	*reader
	header http.Header
}

func (r rehearsal) Header() http.Header { return r.header }
func (r rehearsal) WriteHeader(int)     {}
func (r rehearsal) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r.reader, bufio.NewReadWriter(r.in, bufio.NewWriterSize(r.reader, writeBuffer)), nil
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
	if n := c.peer.MessageBytes(); n != r.longest {
		r.longest = n
		r.ws.SetReadLimit(int64(n))
	}
	why, ended = r.serve(ctx, c)
	if r.spent {
		r.ws.CloseNow()
	} else {
		p.idle.Put(r)
	}
	return why, ended
}

// serve reads for c until nothing is left of what has come, or the connection
// ends.
func (r *reader) serve(ctx context.Context, c *conn) (why engine.Close, ended bool) {
	r.conn = c
	for {
		if why, ended = r.next(ctx); ended || r.in.Buffered() == 0 {
			break
		}
	}
	r.rest()
	r.spent = r.spent || ended
	r.conn = nil
	return why, ended
}

// next takes one control frame, or one message.
func (r *reader) next(ctx context.Context) (why engine.Close, ended bool) {
	r.rest()
	r.taken, r.begun = 0, r.in.Buffered() > 0
	done, err := r.control()
	if err != nil {
		return r.whyEnded(err), true
	}
	if done {
		return engine.Close{}, false
	}
	// A context that can end costs coder/websocket two allocations and a lock for
	// each read. It is Close of the socket that ends reading.
	kind, message, err := r.ws.Reader(context.Background())
	switch {
	case err != nil:
		return r.whyEnded(err), true
	case kind == websocket.MessageBinary:
		return engine.CloseBinary, true
	}
	return r.receive(ctx, message)
}

// control answers a ping and passes over a pong, if that is what comes. From
// coder/websocket there would be no return before the next message.
func (r *reader) control() (done bool, err error) {
	head, err := r.in.Peek(2)
	if err != nil {
		return false, err
	}
	first, n := head[0], int(head[1]&^masked)
	if first != fin|opPing && first != fin|opPong || head[1]&masked == 0 || n > longestControl {
		return false, nil // also for what is wrong with it
	}
	const head6 = 6 // two bytes and the mask
	frame, err := r.in.Peek(head6 + n)
	if err != nil {
		return false, err
	}
	if first == fin|opPing {
		mask, payload := frame[2:head6], frame[head6:]
		pong := append(make([]byte, 0, 2+n), fin|opPong, byte(n))
		for i, b := range payload {
			pong = append(pong, b^mask[i%4])
		}
		r.peer.SendRaw(pong)
	}
	r.in.Discard(head6 + n)
	r.peer.Pace(1)
	return true, nil
}

// receive reads a message and carries out the request in it.
func (r *reader) receive(ctx context.Context, message io.Reader) (why engine.Close, ended bool) {
	req, err := r.parse(message)
	why, ended = err.(engine.Close)
	switch {
	case ended:
		return why, true
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

// parse reads a message. The error is an engine.Close if the connection ends by
// it; any other is for the client.
func (r *reader) parse(message io.Reader) (wire.Request, error) {
	r.text.Reset()
	if _, err := r.text.ReadFrom(message); err != nil {
		return wire.Request{}, r.whyEnded(err)
	}
	if r.primus && r.answerPrimus(r.text.Bytes()) {
		return wire.Request{}, errHeartbeat
	}
	req, err := wire.ParseRequest(r.text.Bytes())
	if err == wire.ErrUTF8 {
		err = engine.CloseInvalid
	}
	return req, err
}

// mostFraming bounds the bytes that a message takes on its way, as a multiple of
// those that it may have: a fragment of one byte takes seven. Fragments without any
// have no other bound.
const mostFraming = 8

// Closes that are for what coder/websocket leaves without a close frame of its
// own.
var (
	closeProtocol = engine.Close{Code: 1002, Reason: "protocol error"}
	closeSlow     = engine.Close{Code: engine.CloseIdle.Code, Reason: "message took too long"}
	closeWaste    = engine.Close{Code: engine.CloseTooBig.Code, Reason: "too many fragments"}
)

// whyEnded says how the connection ends after an error.
func (r *reader) whyEnded(err error) engine.Close {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return engine.CloseTooBig
	case r.waste:
		return closeWaste
	case r.late:
		return closeSlow
	case r.lost || r.parting != nil:
		return engine.Close{}
	}
	return closeProtocol
}

// Read is net.Conn's. It notes that the socket has ended, which tells a lost
// client from one that broke the protocol.
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
	if err != nil {
		r.late = errors.Is(err, os.ErrDeadlineExceeded)
		r.lost = !r.late
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // between two fragments the other would end the message
	}
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

// Write takes one whole control frame. A close frame is kept for [conn.Farewell]:
// nothing may follow it.
func (r *reader) Write(p []byte) (int, error) {
	frame := bytes.Clone(p)
	switch {
	case frame[0] != fin|opClose:
		r.peer.SendRaw(frame)
	case utf8.Valid(frame[min(len(frame), closeReason):]):
		r.parting = frame
	default: // coder/websocket repeats the client's reason as it is
		r.parting = appendClose(nil, engine.CloseInvalid)
	}
	return len(p), nil
}

// Close does nothing: the outbox closes the socket once all has been written.
func (r *reader) Close() error { return nil }
