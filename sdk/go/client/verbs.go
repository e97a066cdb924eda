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

// call is a request that may be sent over several connections until it is answered.
type call struct {
	request func() request // called for each attempt
	then    func(frame)    // see link.request
	retry   retryPolicy
}

// retryPolicy says what happens to a call whose answer was lost with the connection.
type retryPolicy int

const (
	retryAlways         retryPolicy = iota // repeating does no harm
	retryResumed                           // repeated on a resumed connection, where the server recognizes the key; else ErrLost
	retryUnlessReplaced                    // repeated on a resumed connection; succeeds on a new one, which is in no room
	retryNever                             // ErrLost
)

// do sends a call until it is answered. The error is a *VerbError, a *ClosedError, ErrLost,
// the error of ctx, or both of the latter.
func (c *Client) do(ctx context.Context, cl call) (frame, error) {
	sentIn := 0 // link.generation of the last attempt; 0 if it was not sent
	for {
		l, err := c.connected(ctx)
		switch {
		case err != nil && sentIn > 0 && ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		case err != nil:
			return nil, err
		case sentIn > 0 && sentIn != l.generation && cl.retry == retryUnlessReplaced:
			return frame{}, nil
		case sentIn > 0 && sentIn != l.generation && cl.retry == retryResumed:
			return nil, ErrLost
		}
		answer, sent, err := l.request(ctx, cl.request(), cl.then)
		if sent {
			sentIn = l.generation
		}
		switch {
		case errors.Is(err, errBroken) && cl.retry == retryNever:
			return nil, cmp.Or(c.Err(), ErrLost)
		case errors.Is(err, errBroken), errors.Is(err, errUnsent):
		case sent && err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		default:
			return answer, err
		}
	}
}

// connected waits until a link is established, and returns it.
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

// JoinOptions are options of JoinWith.
type JoinOptions struct {
	// Since asks for the room's messages after this position before new ones. The client
	// does so itself when it joins the room again after a break. The zero Position asks for none.
	Since Position
	// Presence asks for presence notices, if the room sends them.
	Presence bool
	// Moderation asks for the outcome of each message of the client in the room that a rule holds;
	// see OnOutcome.
	Moderation bool
	// History asks for that number of the last messages before the join, in a room with history, at
	// most 1000. OnMessage is not called with them. 0 asks for none.
	History int
}

// Join joins a room, and joins it again after each break until Leave. It returns nil if
// the client is in the room already.
func (c *Client) Join(ctx context.Context, room string) error {
	_, err := c.JoinWith(ctx, room, JoinOptions{})
	return err
}

// Joined is the result of JoinWith.
type Joined struct {
	// Recovered reports whether all messages since JoinOptions.Since follow. It is false if
	// Since is zero or the client was in the room already.
	Recovered bool
	// History has the messages of JoinOptions.History; zero if the room keeps none, or the client
	// was in the room already.
	History History
}

// JoinWith joins a room like Join, with options. If the history cannot be read, it returns the
// error of History, and the client stays in the room.
func (c *Client) JoinWith(ctx context.Context, room string, o JoinOptions) (Joined, error) {
	p := c.rooms.begin(room, o)
	defer c.rooms.ended(p)
	answer, err := c.do(ctx, call{retry: retryAlways,
		request: func() request { return c.rooms.request(p) },
		then: func(f frame) {
			if err := f.refusal(); err == nil || alreadyInRoom(err) {
				c.rooms.joined(p, f.position())
			}
		}})
	if alreadyInRoom(err) {
		return Joined{}, nil
	}
	joined := Joined{Recovered: o.Since != (Position{}) && string(answer["recovered"]) == "true"}
	if err != nil || o.History <= 0 || answer.position() == (Position{}) {
		return joined, err
	}
	// Later messages are passed to OnMessage, so the history ends at the position of the join.
	joined.History, err = c.History(ctx, room, HistoryPage{Limit: o.History, Before: answer.position().Offset + 1})
	if refusedWith(err, "room keeps no history") {
		err = nil
	}
	return joined, err
}

// Leave leaves a room. If a rule denies it, Leave returns a *VerbError and the client
// stays in the room.
func (c *Client) Leave(ctx context.Context, room string) error {
	c.rooms.leaving(room, true)
	in := c.rooms.has(room)
	_, err := c.do(ctx, call{retry: retryUnlessReplaced,
		request: func() request { return request{Event: "roomLeave", Room: room} },
		then: func(f frame) {
			if err := f.refusal(); err == nil || refusedWith(err, notInRoom) {
				c.rooms.left(room)
			}
		}})
	if refusedWith(err, notInRoom) && in { // an attempt before a break may have succeeded
		err = nil
	}
	if err != nil {
		c.rooms.leaving(room, false)
	}
	return err
}

const notInRoom = "connection not in this room"

// Say sends a message to a room that the client is in, and returns the message's id when the
// server has accepted it; "" in an ephemeral room, and if a rule holds the message: see Send.
// The request carries a random key: if the connection breaks and is resumed, the request is
// repeated and the server publishes it once. If the connection is not resumed, Say returns ErrLost.
func (c *Client) Say(ctx context.Context, room, message string) (id string, err error) {
	return c.say(ctx, room, message)
}

// SayJSON is like Say, but sends the JSON of a value, which must be an object or an array, to
// a room with json. The server refuses it in other rooms.
func (c *Client) SayJSON(ctx context.Context, room string, value any) (id string, err error) {
	message, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("message to %s: %w", room, err)
	}
	return c.say(ctx, room, json.RawMessage(message))
}

func (c *Client) say(ctx context.Context, room string, message any) (id string, err error) {
	sent, err := c.send(ctx, room, message)
	return sent.ID, err
}

// Send is like Say for a string, and like SayJSON for another value. Sent has the id of a published
// message, or Held if a rule holds the message until a moderator decides about it.
func (c *Client) Send(ctx context.Context, room string, message any) (Sent, error) {
	if _, ok := message.(string); !ok {
		value, err := json.Marshal(message)
		if err != nil {
			return Sent{}, fmt.Errorf("message to %s: %w", room, err)
		}
		message = json.RawMessage(value)
	}
	return c.send(ctx, room, message)
}

func (c *Client) send(ctx context.Context, room string, message any) (Sent, error) {
	r := request{Event: "say", Room: room, Message: message, Key: rand.Text()}
	answer, err := c.do(ctx, call{retry: retryResumed, request: func() request { return r }})
	return Sent{ID: answer.text("id"), Held: answer.text("held")}, err
}

// Edit replaces the text of a message of this client or its user in a room with history. It returns a
// *VerbError if the history does not have the message.
func (c *Client) Edit(ctx context.Context, room, id, message string) error {
	_, err := c.do(ctx, call{retry: retryAlways, request: func() request { return request{Event: "edit", Room: room, Target: id, Message: message} }})
	return err
}

// Retract takes back a message of this client or its user. Members that may have received the
// message receive a Retraction.
func (c *Client) Retract(ctx context.Context, room, id string) error {
	_, err := c.do(ctx, call{retry: retryAlways, request: func() request { return request{Event: "retract", Room: room, Target: id} }})
	return err
}

// Report reports a message or a user to the moderators. The client must be in Room, or in any room
// if Room is "". OnNotice receives the outcome, with the context
// "moderation". A second report of the same target has no effect.
func (c *Client) Report(ctx context.Context, r Report) error {
	_, err := c.do(ctx, call{retry: retryAlways, request: func() request {
		return request{Event: "report", Room: r.Room, Target: r.Message, User: r.User, Reason: r.Reason, Notify: r.Notify}
	}})
	return err
}

// View returns a page of the members of a room.
func (c *Client) View(ctx context.Context, room string, p Page) (Room, error) {
	var data struct {
		MembersCount int
		Cursor       string
		Members      map[string]struct {
			ID       string
			JoinedAt int64
			User     string
		}
		Users      map[string]struct{ Connections int }
		UsersCount int
	}
	err := c.query(ctx, &data, request{Event: "roomView", Room: room, Limit: p.Limit, Cursor: p.Cursor})
	v := Room{Room: room, MembersCount: data.MembersCount, UsersCount: data.UsersCount, Cursor: data.Cursor}
	for user, u := range data.Users {
		if v.Users == nil {
			v.Users = map[string]int{}
		}
		v.Users[user] = u.Connections
	}
	for _, m := range data.Members {
		v.Members = append(v.Members, Member{ID: m.ID, JoinedAt: time.UnixMilli(m.JoinedAt), User: m.User})
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), strings.Compare(a.ID, b.ID)) })
	return v, err
}

// History returns a page of the past messages of a room with history that the client is in.
func (c *Client) History(ctx context.Context, room string, p HistoryPage) (History, error) {
	var data struct {
		Epoch    string
		Messages []frame
		Before   uint64
	}
	err := c.query(ctx, &data, request{Event: "roomHistory", Room: room, Limit: p.Limit, Before: p.Before})
	h := History{Room: room, Epoch: data.Epoch, Before: data.Before}
	for _, f := range data.Messages {
		h.Messages = append(h.Messages, f.message())
	}
	return h, err
}

// Action runs an action of a rule and returns the fields of its answer. params may be nil
// and is not changed. If the connection breaks before the answer, Action returns ErrLost.
func (c *Client) Action(ctx context.Context, name string, params map[string]any) (map[string]json.RawMessage, error) {
	all := map[string]any{}
	for name, value := range params {
		all[name] = value
	}
	all["action"] = name
	answer, err := c.do(ctx, call{retry: retryNever, request: func() request { return request{Event: "action", Params: all} }})
	delete(answer, "context")
	delete(answer, "messageId")
	return answer, err
}

// Actions returns the actions that this client may run, by name.
func (c *Client) Actions(ctx context.Context) (map[string]ActionInfo, error) {
	var data struct{ Actions map[string]ActionInfo }
	err := c.query(ctx, &data, request{Event: "documentation"})
	return data.Actions, err
}

// Details returns what the server knows about this connection.
func (c *Client) Details(ctx context.Context) (d Details, err error) {
	err = c.query(ctx, &d, request{Event: "detailsView"})
	return d, err
}

// Authenticate renews the token of the connection. Call it before the current token
// expires; the new token must name the same user.
func (c *Client) Authenticate(ctx context.Context, token string) error {
	_, err := c.do(ctx, call{retry: retryAlways, request: func() request { return request{Event: "auth", Token: token} }})
	return err
}

// query sends a request that changes nothing, and decodes the data of its answer.
func (c *Client) query(ctx context.Context, data any, r request) error {
	answer, err := c.do(ctx, call{retry: retryAlways, request: func() request { return r }})
	if err != nil {
		return err
	}
	if err := answer.into("data", data); err != nil {
		return fmt.Errorf("the answer to %s has an unexpected form: %w", r.Event, err)
	}
	return nil
}
