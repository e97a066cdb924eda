package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// question is something to ask that may outlive a connection.
type question struct {
	request func() request // asked anew each time
	then    func(frame)    // see link.request
	lost    loss
}

// loss is what becomes of a question whose answer was lost with the connection.
type loss int

const (
	again   loss = iota // it is asked again
	resumed             // it is asked again on the same connection, where the server knows it by its key
	gone                // the break itself has answered it, unless the connection was resumed
	unknown             // it may not be asked again
)

// ask asks until there is an answer. The error is a *VerbError, a *ClosedError, or
// ErrLost or that of ctx or both.
func (c *Client) ask(ctx context.Context, q question) (frame, error) {
	asked := 0 // the life of the connection in which it was; 0: it was not
	for {
		l, err := c.connected(ctx)
		switch {
		case err != nil && asked > 0 && ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		case err != nil:
			return nil, err
		case asked > 0 && asked != l.life && q.lost == gone:
			return frame{}, nil
		case asked > 0 && asked != l.life && q.lost == resumed:
			return nil, ErrLost
		}
		answer, sent, err := l.request(ctx, q.request(), q.then)
		if sent {
			asked = l.life
		}
		switch {
		case errors.Is(err, errBroken) && q.lost == unknown:
			return nil, cmp.Or(c.Err(), ErrLost)
		case errors.Is(err, errBroken), errors.Is(err, errUnsent):
		case sent && err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		default:
			return answer, err
		}
	}
}

// connected waits for a connection whose rooms are joined.
func (c *Client) connected(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, changed, err := c.link, c.changed, c.err
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case l != nil:
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// JoinOptions say how to join a room.
type JoinOptions struct {
	// Since has the room's messages after that position come first. A client that was in
	// the room before a break asks by itself. The zero Position asks for none.
	Since Position
	// Presence has the client hear who comes and goes, where the room tells.
	Presence bool
}

// Join joins a room, and joins it again after each break until Leave. A room that it is
// in already is no error.
func (c *Client) Join(ctx context.Context, room string) error {
	_, err := c.JoinWith(ctx, room, JoinOptions{})
	return err
}

// JoinWith is Join with options. recovered is whether nothing is missing since o.Since;
// false where that was not asked for, or the client was in the room already.
func (c *Client) JoinWith(ctx context.Context, room string, o JoinOptions) (recovered bool, err error) {
	p := c.rooms.begin(room, o)
	defer c.rooms.ended(p)
	answer, err := c.ask(ctx, question{lost: again,
		request: func() request { return c.rooms.request(p) },
		then: func(f frame) {
			if err := f.refusal(); err == nil || alreadyThere(err) {
				c.rooms.joined(p, f.position())
			}
		}})
	if alreadyThere(err) {
		return false, nil
	}
	return string(answer["recovered"]) == "true", err
}

// Leave leaves a room. A rule may forbid it: then the client stays in it.
func (c *Client) Leave(ctx context.Context, room string) error {
	c.rooms.leaving(room, true)
	in := c.rooms.has(room)
	_, err := c.ask(ctx, question{lost: gone,
		request: func() request { return request{Event: "roomLeave", Room: room} },
		then: func(f frame) {
			if err := f.refusal(); err == nil || says(err, notThere) {
				c.rooms.left(room)
			}
		}})
	if says(err, notThere) && in { // asked again after a break, it may have been done before
		err = nil
	}
	if err != nil {
		c.rooms.leaving(room, false)
	}
	return err
}

const notThere = "connection not in this room"

// Say says something in a room that the client is in, and returns when the server has
// accepted it. It has a key by which the server knows it again: where the connection is
// resumed after a break it is asked again and never said twice. Where it is not the
// error is ErrLost.
func (c *Client) Say(ctx context.Context, room, message string) error {
	r := request{Event: "say", Room: room, Message: &message, Key: rand.Text()}
	_, err := c.ask(ctx, question{lost: resumed, request: func() request { return r }})
	return err
}

// View shows who is in a room.
func (c *Client) View(ctx context.Context, room string, p Page) (Room, error) {
	var data struct {
		MembersCount int
		Cursor       string
		Members      map[string]struct {
			ID       string
			JoinedAt int64
		}
	}
	err := c.askFor(ctx, &data, request{Event: "roomView", Room: room, Limit: p.Limit, Cursor: p.Cursor})
	v := Room{Room: room, Count: data.MembersCount, Cursor: data.Cursor}
	for _, m := range data.Members {
		v.Members = append(v.Members, Member{ID: m.ID, JoinedAt: time.UnixMilli(m.JoinedAt)})
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), strings.Compare(a.ID, b.ID)) })
	return v, err
}

// History shows what was said in a room that keeps it, and that the client is in.
func (c *Client) History(ctx context.Context, room string, p Past) (History, error) {
	var data struct {
		Epoch    string
		Messages []frame
		Before   uint64
	}
	err := c.askFor(ctx, &data, request{Event: "roomHistory", Room: room, Limit: p.Limit, Before: p.Before})
	h := History{Room: room, Epoch: data.Epoch, Before: data.Before}
	for _, f := range data.Messages {
		h.Messages = append(h.Messages, f.message())
	}
	return h, err
}

// Action runs an action that a rule offers, and gives the fields of its answer. params
// may be nil; it is read only. An answer that a break has lost is ErrLost.
func (c *Client) Action(ctx context.Context, name string, params map[string]any) (map[string]json.RawMessage, error) {
	all := map[string]any{}
	for name, value := range params {
		all[name] = value
	}
	all["action"] = name
	answer, err := c.ask(ctx, question{lost: unknown, request: func() request { return request{Event: "action", Params: all} }})
	delete(answer, "context")
	delete(answer, "messageId")
	return answer, err
}

// Actions are the actions that the rules offer here, by name.
func (c *Client) Actions(ctx context.Context) (map[string]ActionInfo, error) {
	var data struct{ Actions map[string]ActionInfo }
	err := c.askFor(ctx, &data, request{Event: "documentation"})
	return data.Actions, err
}

// Details is what the server knows of this connection.
func (c *Client) Details(ctx context.Context) (d Details, err error) {
	err = c.askFor(ctx, &d, request{Event: "detailsView"})
	return d, err
}

// Authenticate shows the server a new token on the connection there is, before the old
// one expires.
func (c *Client) Authenticate(ctx context.Context, token string) error {
	_, err := c.ask(ctx, question{lost: again, request: func() request { return request{Event: "auth", Token: token} }})
	return err
}

// askFor asks something that does no harm, and decodes the answer's data.
func (c *Client) askFor(ctx context.Context, data any, r request) error {
	answer, err := c.ask(ctx, question{lost: again, request: func() request { return r }})
	if err != nil {
		return err
	}
	if err := answer.into("data", data); err != nil {
		return fmt.Errorf("what the server says to %s is not understood: %w", r.Event, err)
	}
	return nil
}
