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

// link is one socket from its beginning to its end, and what was asked over it.
type link struct {
	conn     *websocket.Conn
	life     int           // of the connection: the same after it was resumed
	patience time.Duration // that the server may be silent while it owes an answer
	heard    func(frame)   // takes what answers nothing
	changed  func()        // told when owes has changed
	lost     func()        // told once, before ended is closed
	out      chan []byte

	mu      sync.Mutex
	asked   uint64
	waiting map[uint64]waiter
	alarm   *time.Timer // set while an answer is owed
	why     error
	ended   chan struct{}
	running sync.WaitGroup
}

// waiter is who waits for an answer.
type waiter struct {
	reply chan<- frame // has room for it
	then  func(frame)  // is given it first, before anything that came later is heard; nil for nothing
}

var (
	errUnsent = errors.New("the connection was lost before this was sent")
	errBroken = errors.New("the connection was lost before the answer came")
	errSilent = errors.New("the server does not answer")
)

// mostBytes is the largest frame taken from a server: pages of history are.
const mostBytes = 16 << 20

// start begins to read and write.
func (l *link) start() {
	l.out, l.waiting, l.ended = make(chan []byte), map[uint64]waiter{}, make(chan struct{})
	l.conn.SetReadLimit(mostBytes)
	l.running.Go(l.read)
	l.running.Go(l.write)
}

// end ends the link, unless it has ended, and says why.
func (l *link) end(why error) {
	l.mu.Lock()
	if l.why != nil {
		l.mu.Unlock()
		return
	}
	l.why = why
	if l.alarm != nil {
		l.alarm.Stop()
	}
	l.mu.Unlock()
	l.lost()
	close(l.ended)
	l.changed()
	l.running.Go(func() { _ = l.conn.CloseNow() }) // it waits for a write that goes on
}

// owes says whether the server owes an answer.
func (l *link) owes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0 || l.why != nil
}

// over says whether the link has ended.
func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why != nil
}

// request sends r and waits for the answer, which then is given by the reader. The
// error is a *VerbError, errUnsent, errBroken, or that of ctx; sent is whether r went
// out.
func (l *link) request(ctx context.Context, r request, then func(frame)) (answer frame, sent bool, err error) {
	reply := make(chan frame, 1)
	r.MessageID = l.expect(waiter{reply, then})
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
		case answer = <-reply: // it came with the end
		default:
			return nil, true, errBroken
		}
	}
	return answer, true, answer.refusal()
}

func (l *link) expect(w waiter) uint64 {
	l.mu.Lock()
	l.asked++
	id := l.asked
	l.waiting[id] = w
	if len(l.waiting) == 1 {
		l.arm()
	}
	l.mu.Unlock()
	l.changed()
	return id
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
	if len(l.waiting) == 0 && l.alarm != nil {
		l.alarm.Stop()
	}
}

// arm gives the link up in the time of its patience. It is called with mu held.
func (l *link) arm() {
	switch {
	case l.why != nil:
	case l.alarm == nil:
		l.alarm = time.AfterFunc(l.patience, func() { l.end(errSilent) })
	default:
		l.alarm.Reset(l.patience)
	}
}

// write sends what is asked.
func (l *link) write() {
	for {
		select {
		case b := <-l.out:
			if l.conn.Write(context.Background(), websocket.MessageText, b) != nil { // ended by CloseNow
				return // the reader learns why; if not, the server owes an answer
			}
		case <-l.ended:
			return
		}
	}
}

// read takes what comes.
func (l *link) read() {
	for {
		kind, b, err := l.conn.Read(context.Background()) // ended by CloseNow
		if err != nil {
			l.end(closed(err))
			return
		}
		var f frame
		if kind != websocket.MessageText || json.Unmarshal(b, &f) != nil || f == nil {
			l.end(errors.New("what the server sent is not understood"))
			return
		}
		if !l.answers(f) {
			l.heard(f)
		}
	}
}

// answers gives an answer to who waits for it.
func (l *link) answers(f frame) bool {
	if f.text("context") != "response" {
		l.sign()
		return false
	}
	id, _ := strconv.ParseUint(string(f["messageId"]), 10, 64) // 0 is none of ours
	l.mu.Lock()
	w, found := l.waiting[id]
	delete(l.waiting, id)
	l.mu.Unlock()
	l.sign()
	if found && w.then != nil {
		w.then(f)
	}
	if found {
		w.reply <- f
	}
	return true
}

// sign takes note of a sign of life.
func (l *link) sign() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		l.arm()
	} else if l.alarm != nil {
		l.alarm.Stop()
	}
}
