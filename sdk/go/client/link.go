package client

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// link is one WebSocket connection and the requests that were sent over it.
type link struct {
	conn          *websocket.Conn
	generation    int           // Client.generation when the link was established: a resumed session keeps it
	answerTimeout time.Duration // see Options
	onFrame       func(frame)   // called by the reader with frames that are not responses
	onPending     func()        // called when the result of awaitsAnswer may have changed
	onEnd         func()        // called once, before ended is closed
	out           chan []byte

	mu      sync.Mutex
	lastID  uint64
	pending map[uint64]pendingRequest
	timer   *time.Timer   // runs while requests are pending; ends the link
	back    time.Duration // the server's time to connect again after the end; 0: none
	err     error         // why the link has ended; set before ended is closed
	ended   chan struct{}
	running sync.WaitGroup
}

// pendingRequest is a request that waits for its answer.
type pendingRequest struct {
	reply chan<- frame // buffered: the reader does not wait
	then  func(frame)  // called by the reader with the answer before it reads further; may be nil
}

var (
	errUnsent = errors.New("the connection was lost before this was sent")
	errBroken = errors.New("the connection was lost before the answer came")
	errSilent = errors.New("the server does not answer")
)

// maxFrameBytes limits a frame from the server. Pages of history are the largest.
const maxFrameBytes = 16 << 20

// start starts the reader and the writer.
func (l *link) start() {
	l.out, l.pending, l.ended = make(chan []byte), map[uint64]pendingRequest{}, make(chan struct{})
	l.conn.SetReadLimit(maxFrameBytes)
	l.running.Go(l.read)
	l.running.Go(l.write)
}

// end ends the link with the reason err, unless it has ended.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.onEnd()
	close(l.ended)
	l.onPending()
	l.running.Go(func() { _ = l.conn.CloseNow() }) // waits for the write under way, so not here
}

// awaitsAnswer reports whether a request waits for its answer, or the link has ended.
func (l *link) awaitsAnswer() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) > 0 || l.err != nil
}

// hasEnded reports whether the link has ended.
func (l *link) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// request sends r and returns the answer. If then is not nil, the reader calls it with
// the answer before it reads further. sent reports whether r was passed to the writer. The
// error is a *VerbError, errUnsent, errBroken, or the error of ctx.
func (l *link) request(ctx context.Context, r request, then func(frame)) (answer frame, sent bool, err error) {
	reply := make(chan frame, 1)
	r.MessageID = l.expect(pendingRequest{reply, then})
	defer l.forget(r.MessageID)
	b, err := json.Marshal(r)
	if err != nil {
		return nil, false, err
	}
	select {
	case l.out <- b:
	case <-l.ended:
		return nil, false, errUnsent
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	select {
	case answer = <-reply:
	case <-ctx.Done():
		return nil, true, ctx.Err()
	case <-l.ended:
		select {
		case answer = <-reply: // came just before the end
		default:
			return nil, true, errBroken
		}
	}
	return answer, true, answer.refusal()
}

// expect registers a request and returns its message id.
func (l *link) expect(p pendingRequest) uint64 {
	l.mu.Lock()
	l.lastID++
	id := l.lastID
	l.pending[id] = p
	if len(l.pending) == 1 {
		l.arm()
	}
	l.mu.Unlock()
	l.onPending()
	return id
}

// forget removes a request.
func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, id)
	if len(l.pending) == 0 && l.timer != nil {
		l.timer.Stop()
	}
}

// arm sets the timer that ends the link after answerTimeout. The caller holds mu.
func (l *link) arm() {
	switch {
	case l.err != nil:
	case l.timer == nil:
		l.timer = time.AfterFunc(l.answerTimeout, func() { l.end(errSilent) })
	default:
		l.timer.Reset(l.answerTimeout)
	}
}

// write sends the requests of out until the link ends.
func (l *link) write() {
	for {
		select {
		case b := <-l.out:
			if l.conn.Write(context.Background(), websocket.MessageText, b) != nil { // ended by CloseNow
				return // the reader gets the error too, or else the timer ends the link
			}
		case <-l.ended:
			return
		}
	}
}

// read reads frames until the link ends.
func (l *link) read() {
	for {
		kind, b, err := l.conn.Read(context.Background()) // ended by CloseNow
		if err != nil {
			l.end(closed(err))
			return
		}
		var f frame
		if kind != websocket.MessageText || json.Unmarshal(b, &f) != nil || f == nil {
			l.end(errors.New("the server sent a frame that is not a JSON object"))
			return
		}
		if !l.deliver(f) {
			l.onFrame(f)
		}
	}
}

// deliver passes a response to the request that waits for it. It returns false for other frames.
func (l *link) deliver(f frame) bool {
	if f.text("context") != "response" {
		l.noteActivity()
		return false
	}
	id, _ := strconv.ParseUint(string(f["messageId"]), 10, 64) // ids begin at 1
	l.mu.Lock()
	w, found := l.pending[id]
	delete(l.pending, id)
	l.mu.Unlock()
	l.noteActivity()
	if found && w.then != nil {
		w.then(f)
	}
	if found {
		w.reply <- f
	}
	return true
}

// noteActivity restarts the timer, or stops it if no request is pending.
func (l *link) noteActivity() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) > 0 {
		l.arm()
	} else if l.timer != nil {
		l.timer.Stop()
	}
}

// setReturn notes the time after which the server wants the client back.
func (l *link) setReturn(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back = after
}

// returnAfter returns the time of setReturn; 0 if there is none or l is nil.
func (l *link) returnAfter() time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.back
}
