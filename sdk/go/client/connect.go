package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxRejoins    = 16              // rooms joined at a time after a break
	quitTimeout   = 5 * time.Second // for the server to close the connection after quit
	maxRejoinWait = time.Second     // a room that is refused for longer does not delay the others
)

// run connects, and connects again after each break, until the client is closed.
func (c *Client) run() {
	for c.closing.Err() == nil {
		c.set(func() { c.setState(StateChange{State: Connecting}) })
		l, err := c.dial()
		if err == nil {
			err = c.serve(l)
		}
		c.awaitRetry(err, l.returnAfter())
	}
	c.set(func() { c.setState(StateChange{State: Closed, Err: c.err}) })
}

// set calls change with mu held.
func (c *Client) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *Client) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(c.closing, c.o.AnswerTimeout)
	defer cancel()
	header, err := c.headers(ctx)
	if err != nil {
		return nil, err
	}
	u := c.url
	if c.o.SessionID != "" {
		q := u.Query()
		q.Set("sessionID", c.o.SessionID)
		u.RawQuery = q.Encode()
	}
	conn, response, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: c.o.HTTPClient, HTTPHeader: header})
	if err != nil {
		return nil, c.refused(response, err)
	}
	l := &link{conn: conn, answerTimeout: c.o.AnswerTimeout, onPending: c.events.recheck}
	l.onEnd = func() { c.unlink(l) }
	l.onFrame = func(f frame) { c.handleFrame(f, l) }
	l.start()
	return l, nil
}

// refused returns the reason for a failed attempt to connect: a *ClosedError if the
// address does not lead to a WebSocket. For an address that worked before, the error is
// not final, because a proxy may give wrong answers for some time.
func (c *Client) refused(r *http.Response, err error) error {
	if r == nil {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 200)) // usually explains the status
	reason := fmt.Sprintf("the address does not lead to a WebSocket: %s: %s", r.Status, strings.TrimSpace(string(body)))
	if r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests && c.ID() == "" {
		return &ClosedError{r.StatusCode, reason}
	}
	return errors.New(reason)
}

// serve uses a link until it ends, and returns the reason.
func (c *Client) serve(l *link) error {
	defer l.running.Wait()
	if err := c.establish(l); err != nil {
		l.end(err)
	}
	ping := time.NewTicker(c.o.PingInterval)
	defer ping.Stop()
	for {
		select {
		case <-ping.C:
			if !c.events.full() { // while the queue is full the client itself does not read
				l.running.Go(func() { _, _, _ = l.request(c.closing, request{Event: "detailsView"}, nil) }) // without an answer the link ends
			}
		case <-c.closing.Done():
			c.quit(l)
			return l.err
		case <-l.ended:
			return l.err
		}
	}
}

// quit asks the server to close the connection, and waits up to quitTimeout for it to
// send the remaining messages and close.
func (c *Client) quit(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	for {
		_, _, err := l.request(ctx, request{Event: "quit"}, nil) // returns when the connection has ended
		var refusal *VerbError
		if !errors.As(err, &refusal) || !wait(ctx, l, refusal.RetryAfter) {
			l.end(err)
			return
		}
	}
}

// wait waits for the time after which a request may be repeated. It returns false if the
// link or ctx ends before, or after is 0: the request must not be repeated.
func wait(ctx context.Context, l *link, after time.Duration) bool {
	if after == 0 {
		return false
	}
	select {
	case <-time.After(after):
		return true
	case <-l.ended:
	case <-ctx.Done():
	}
	return false
}

// establish resumes the session or asks the server for the id of the new connection,
// joins the rooms again, and lets waiting requests use the link.
func (c *Client) establish(l *link) error {
	me, err := c.resume(l)
	resumed := err == nil
	var refusal *VerbError
	switch {
	case isTemporary(err):
		err = fmt.Errorf("the session cannot be resumed yet: %w", err)
	case errors.As(err, &refusal), errors.Is(err, errNoSession):
		me, err = c.details(l)
	}
	if err != nil {
		return err
	}
	if err := c.rejoin(l, c.rooms.missing(me.Rooms)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !resumed {
		c.generation++
	}
	l.generation = c.generation
	c.id, c.session, c.failures = me.ID, me.Session, 0
	c.setState(StateChange{State: Connected})
	c.queue(func(h *Handlers) {
		if h.OnConnected != nil {
			h.OnConnected(me.ID, resumed)
		}
	})
	if c.generation == 1 && !resumed {
		close(c.firstConnected)
	}
	if !l.hasEnded() {
		c.link = l
		c.notify()
	}
	return nil
}

// identity is the server's description of a connection.
type identity struct {
	ID      string                 `json:"id"`
	Session string                 `json:"session"`
	Rooms   map[string]resumedRoom `json:"rooms"` // only after resume
}

// resumedRoom is a room that a resumed connection is in.
type resumedRoom struct {
	Position       // zero if the room is ephemeral
	Recovered bool `json:"recovered"`
}

var errNoSession = errors.New("there is no session to resume")

// resume resumes the session of the lost connection. It returns errNoSession if there is none.
func (c *Client) resume(l *link) (me identity, err error) {
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session == "" {
		return me, errNoSession
	}
	var bad error
	_, _, err = l.request(c.closing, request{Event: "resume", Session: session, Since: c.rooms.positions()}, func(f frame) {
		if f.refusal() == nil {
			bad = f.into("data", &me)
		}
		c.rooms.resumed(me.Rooms)
		for room, at := range me.Rooms {
			if !at.Recovered {
				c.gap(room) // on the reader's goroutine: before messages that follow the answer
			}
		}
	})
	if bad != nil {
		return me, fmt.Errorf("the answer to resume has an unexpected form: %w", bad)
	}
	return me, err
}

// details asks the server for the identity of a new connection.
func (c *Client) details(l *link) (me identity, err error) {
	answer, _, err := l.request(c.closing, request{Event: "detailsView"}, nil)
	if err != nil {
		return me, err
	}
	var d struct{ ID, Session string }
	if err := answer.into("data", &d); err != nil {
		return me, fmt.Errorf("the answer to detailsView has an unexpected form: %w", err)
	}
	return identity{ID: d.ID, Session: d.Session}, nil
}

// rejoin joins rooms again, maxRejoins at a time. It fails only if the link ends.
func (c *Client) rejoin(l *link, rooms []*membership) error {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, maxRejoins)
	for _, m := range rooms {
		select {
		case slots <- struct{}{}:
		case <-l.ended:
			return l.err
		}
		all.Go(func() {
			c.rejoinOne(l, m)
			<-slots
		})
	}
	return nil
}

// rejoinOne joins a room again, and repeats the request while the server says when to
// retry. If that is later than maxRejoinWait, it continues in the background, so that a
// room whose rules fail does not keep the client from the other rooms.
func (c *Client) rejoinOne(l *link, m *membership) {
	for c.rooms.mustJoin(m) {
		_, _, err := l.request(c.closing, c.rooms.request(m), func(f frame) { c.rejoined(m, f) })
		var refusal *VerbError
		if !errors.As(err, &refusal) {
			return
		}
		if after := refusal.RetryAfter; after > maxRejoinWait {
			l.running.Go(func() {
				if wait(c.closing, l, after) {
					c.rejoinOne(l, m)
				}
			})
			return
		}
		if !wait(c.closing, l, refusal.RetryAfter) {
			return
		}
	}
}

// rejoined handles the answer to rejoinOne's request. The reader's goroutine calls it, so
// that OnGap is called before OnMessage for messages that follow the answer.
func (c *Client) rejoined(m *membership, f frame) {
	var refusal *VerbError
	switch err := f.refusal(); {
	case err == nil:
		c.rooms.joined(m, f.position())
		if string(f["recovered"]) != "true" {
			c.gap(m.room)
		}
	case alreadyInRoom(err): // a rule joined the connection first
	case errors.As(err, &refusal) && refusal.RetryAfter > 0:
	default:
		c.rooms.left(m.room)
		c.queue(func(h *Handlers) {
			if h.OnLeft != nil {
				h.OnLeft(m.room, err)
			}
		})
	}
}

// gap queues the call of OnGap.
func (c *Client) gap(room string) {
	c.queue(func(h *Handlers) {
		if h.OnGap != nil {
			h.OnGap(room)
		}
	})
}

// handleFrame queues the event of a frame that is not a response. While the queue is full
// it waits, unless a request waits for its answer: a handler may have sent that request.
func (c *Client) handleFrame(f frame, l *link) {
	switch context := f.text("context"); {
	case context == "user" && !c.rooms.received(f.text("room"), f.position()), context == "response":
	case context == "gap":
		c.gap(f.text("room"))
	case context == "api" && f.text("status") == "Bye":
		l.setReturn(time.Duration(f.number("retryAfter")) * time.Millisecond)
	default:
		c.events.push(func() { c.handlers.each(f.event(context)) }, func() bool { return !l.awaitsAnswer() })
	}
}

// event returns a function that calls one of the handlers for a message, an outcome, a notice of presence or another notice. The frame must
// not be used afterwards.
func (f frame) event(context string) func(*Handlers) {
	if context == "moderation" && f["held"] == nil { // the outcome of a report
		context = ""
	}
	switch context {
	case "user":
		if f["retracts"] != nil {
			gone := Retraction{ID: f.text("retracts"), Room: f.text("room"), By: f.text("retractedBy"), Position: f.position()}
			return func(h *Handlers) {
				if h.OnRetracted != nil {
					h.OnRetracted(gone)
				}
			}
		}
		edited := f["edits"] != nil
		m := f.message()
		if edited {
			return func(h *Handlers) {
				if h.OnEdited != nil {
					h.OnEdited(m.clone())
				}
			}
		}
		return func(h *Handlers) {
			if h.OnMessage != nil {
				h.OnMessage(m.clone())
			}
		}
	case "moderation":
		o := f.outcome()
		return func(h *Handlers) {
			if h.OnOutcome != nil {
				h.OnOutcome(o)
			}
		}
	case "presence":
		p := f.presence()
		return func(h *Handlers) {
			if h.OnPresence != nil {
				h.OnPresence(p)
			}
		}
	}
	n := f.notice()
	return func(h *Handlers) {
		if h.OnNotice != nil {
			h.OnNotice(n)
		}
	}
}

// unlink stops the use of l for requests.
func (c *Client) unlink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link = nil
		c.notify()
	}
}

// awaitRetry waits until the next attempt to connect, or ends the client if err is final.
// after is the time that the server gave; 0 means a random delay.
func (c *Client) awaitRetry(err error, after time.Duration) {
	if c.closing.Err() != nil {
		return
	}
	var end *ClosedError
	c.mu.Lock()
	stale := errors.As(err, &end) && end.Code == CloseToken && c.o.Token != nil && c.failures == 0 && c.id != "" // a new token may be accepted
	if end != nil && end.final() && !stale {
		c.mu.Unlock()
		c.finish(err)
		return
	}
	c.last = err
	delay := after // a server that shuts down spreads its clients itself
	if after == 0 {
		delay = rand.N(min(c.o.MaxDelay, c.o.MinDelay<<min(c.failures, 20)) + 1) // spreads the clients of a server that was lost
		c.failures++
	}
	c.setState(StateChange{State: Waiting, Err: err, Delay: delay})
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-c.closing.Done():
	}
}
