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
	rejoining = 16              // rooms joined again at a time
	goodbye   = 5 * time.Second // for the server to close after quit

	rejoinPatience = time.Second // a room that is refused for longer is joined beside everything else
)

// run connects, again and again, until the client is closed.
func (c *Client) run() {
	for c.closing.Err() == nil {
		c.set(func() { c.tell(Change{State: Connecting}) })
		l, err := c.dial()
		if err == nil {
			err = c.live(l)
		}
		c.lose(err)
	}
	c.set(func() { c.tell(Change{State: Closed, Err: c.err}) })
}

// set changes what is under mu.
func (c *Client) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *Client) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(c.closing, c.o.AnswerWithin)
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
	l := &link{conn: conn, patience: c.o.AnswerWithin, changed: c.events.look}
	l.lost = func() { c.unlink(l) }
	l.heard = func(f frame) { c.hear(f, l) }
	l.start()
	return l, nil
}

// refused is why there is no connection. An address that leads to no WebSocket is
// given up, if it never was one: a proxy may say anything for a while.
func (c *Client) refused(r *http.Response, err error) error {
	if r == nil {
		return err
	}
	words, _ := io.ReadAll(io.LimitReader(r.Body, 200)) // they say more than the status, if they come
	why := fmt.Sprintf("no WebSocket there: %s: %s", r.Status, strings.TrimSpace(string(words)))
	if r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests && c.ID() == "" {
		return &ClosedError{r.StatusCode, why}
	}
	return errors.New(why)
}

// live uses a link until it ends, and says why it did.
func (c *Client) live(l *link) error {
	defer l.running.Wait()
	if err := c.greet(l); err != nil {
		l.end(err)
	}
	look := time.NewTicker(c.o.LookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if !c.events.full() { // else nothing is read, by our own doing
				l.running.Go(func() { _, _, _ = l.request(c.closing, request{Event: "detailsView"}, nil) }) // the link's patience sees to it
			}
		case <-c.closing.Done():
			c.quit(l)
			return l.why
		case <-l.ended:
			return l.why
		}
	}
}

// quit says goodbye, and gives the server a moment to say what is left and close.
func (c *Client) quit(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	for {
		_, _, err := l.request(ctx, request{Event: "quit"}, nil) // it is answered by the end
		var refusal *VerbError
		if !errors.As(err, &refusal) || !wait(ctx, l, refusal.RetryAfter) {
			l.end(err)
			return
		}
	}
}

// wait waits before something is asked again. It is false if the link or ctx ends
// before, or after is 0, which is never.
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

// greet learns who this connection is, or makes it the one before, joins the rooms
// again and lets begin what waits.
func (c *Client) greet(l *link) error {
	me, err := c.resume(l)
	resumed := err == nil
	var refusal *VerbError
	switch {
	case mayPass(err):
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
		c.life++
	}
	l.life = c.life
	c.id, c.session, c.failures = me.ID, me.Session, 0
	c.tell(Change{State: Connected})
	if c.o.OnConnected != nil {
		c.events.push(func() { c.o.OnConnected(me.ID, resumed) }, nil)
	}
	if c.life == 1 && !resumed {
		close(c.arrived)
	}
	if !l.over() {
		c.link = l
		c.wake()
	}
	return nil
}

// identity is what the server says of a connection.
type identity struct {
	ID      string                 `json:"id"`
	Session string                 `json:"session"`
	Rooms   map[string]resumedRoom `json:"rooms"` // where it was resumed
}

type resumedRoom struct {
	Epoch     string `json:"epoch"` // "" where the room keeps no history
	Recovered bool   `json:"recovered"`
}

var errNoSession = errors.New("there is no session to resume")

// resume makes the connection the one that was lost.
func (c *Client) resume(l *link) (me identity, err error) {
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session == "" {
		return me, errNoSession
	}
	since := c.rooms.positions()
	var bad error
	_, _, err = l.request(c.closing, request{Event: "resume", Session: session, Since: since}, func(f frame) {
		if f.refusal() == nil {
			bad = f.into("data", &me)
		}
		for room, at := range me.Rooms {
			if _, known := since[room]; !at.Recovered && (known || at.Epoch == "") {
				c.gap(room) // before what came after it
			}
		}
	})
	if bad != nil {
		return me, fmt.Errorf("what the server says of the session is not understood: %w", bad)
	}
	return me, err
}

func (c *Client) details(l *link) (me identity, err error) {
	answer, _, err := l.request(c.closing, request{Event: "detailsView"}, nil)
	if err != nil {
		return me, err
	}
	var d struct{ ID, Session string }
	if err := answer.into("data", &d); err != nil {
		return me, fmt.Errorf("what the server says of this connection is not understood: %w", err)
	}
	return identity{ID: d.ID, Session: d.Session}, nil
}

// rejoin joins rooms again. The error is that of the link.
func (c *Client) rejoin(l *link, places []*place) error {
	var all sync.WaitGroup
	defer all.Wait()
	turn := make(chan struct{}, rejoining)
	for _, p := range places {
		select {
		case turn <- struct{}{}:
		case <-l.ended:
			return l.why
		}
		all.Go(func() {
			c.rejoinOne(l, p)
			<-turn
		})
	}
	return nil
}

// rejoinOne joins a room again, as often as the server says when to try again. After a
// refusal for longer than rejoinPatience it goes on beside everything else: one room whose
// rules fail does not keep the client from the others.
func (c *Client) rejoinOne(l *link, p *place) {
	for c.rooms.wants(p) {
		_, _, err := l.request(c.closing, c.rooms.request(p), func(f frame) { c.rejoined(p, f) })
		var refusal *VerbError
		if !errors.As(err, &refusal) {
			return
		}
		if after := refusal.RetryAfter; after > rejoinPatience {
			l.running.Go(func() {
				if wait(c.closing, l, after) {
					c.rejoinOne(l, p)
				}
			})
			return
		}
		if !wait(c.closing, l, refusal.RetryAfter) {
			return
		}
	}
}

// rejoined takes the answer to that. The reader calls it: a gap is told before what
// came after it.
func (c *Client) rejoined(p *place, f frame) {
	var refusal *VerbError
	switch err := f.refusal(); {
	case err == nil:
		c.rooms.joined(p, f.position())
		if string(f["recovered"]) == "false" || f.position().Epoch == "" {
			c.gap(p.room)
		}
	case alreadyThere(err): // a rule was faster
	case errors.As(err, &refusal) && refusal.RetryAfter > 0:
	default:
		c.rooms.left(p.room)
		if c.o.OnLeft != nil {
			c.events.push(func() { c.o.OnLeft(p.room, err) }, nil)
		}
	}
}

func (c *Client) gap(room string) {
	if c.o.OnGap != nil {
		c.events.push(func() { c.o.OnGap(room) }, nil)
	}
}

// hear takes what answers nothing. While the handlers are behind it waits, unless an
// answer is on its way: a handler may wait for that.
func (c *Client) hear(f frame, l *link) {
	var event func()
	switch context := f.text("context"); {
	case context == "user":
		if c.rooms.heard(f.text("room"), f.position()) && c.o.OnMessage != nil {
			event = func() { c.o.OnMessage(f.message()) }
		}
	case context == "gap":
		c.gap(f.text("room"))
	case context == "presence":
		if c.o.OnPresence != nil {
			event = func() { c.o.OnPresence(f.presence()) }
		}
	case context != "response" && c.o.OnNotice != nil:
		event = func() { c.o.OnNotice(f.notice()) }
	}
	if event != nil {
		c.events.push(event, func() bool { return !l.owes() })
	}
}

// unlink notes that there is no connection any more.
func (c *Client) unlink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link = nil
		c.wake()
	}
}

// lose waits until the next attempt, or ends the client if there is to be none.
func (c *Client) lose(err error) {
	if c.closing.Err() != nil {
		return
	}
	var end *ClosedError
	c.mu.Lock()
	stale := errors.As(err, &end) && end.Code == 3502 && c.o.Token != nil && c.failures == 0 && c.id != "" // a new token may do
	if end != nil && end.final() && !stale {
		c.mu.Unlock()
		c.finish(err)
		return
	}
	c.last = err
	delay := rand.N(min(c.o.MaxDelay, c.o.MinDelay<<min(c.failures, 20)) + 1) // so that not all come back at once
	c.failures++
	c.tell(Change{State: Waiting, Err: err, Delay: delay})
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-c.closing.Done():
	}
}
