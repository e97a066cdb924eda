package client

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Options configure a client. The zero value is ready to use.
//
// The client calls the handlers one at a time, in the order of the events, on a goroutine
// of its own, and skips those that are nil. Client.Handle adds more. Handlers may call the client. When QueueSize
// events wait for the handlers, the client stops reading; the server closes a connection
// whose client does not read for too long.
type Options struct {
	// OnMessage is called for each message of the joined rooms, once for each message.
	OnMessage func(Message)
	// OnEdited is called with the new version of a message: its ID is that of the message. The
	// client may not have received the message before, if rules or a break kept it away.
	OnEdited func(Message)
	// OnRetracted is called for each message that must no longer be shown.
	OnRetracted func(Retraction)
	// OnPresence is called when members join and leave, in rooms joined with
	// JoinOptions.Presence.
	OnPresence func(Presence)
	// OnNotice is called for frames that belong to no room.
	OnNotice func(Notice)
	// OnConnected is called for each connection, after the client has joined its rooms
	// again. resumed says whether the connection kept its id, properties and rooms.
	OnConnected func(id string, resumed bool)
	// OnGap is called when messages of the room may be missing: after a break, if the client
	// has missed messages that the room's history does not have, or if the server cannot know
	// (rules hide messages of a room without history, or the room is ephemeral), and whenever
	// the server reports that it lost messages.
	OnGap func(room string)
	// OnLeft is called when the client could not join the room again after a break.
	OnLeft func(room string, reason error)
	// OnState is called for each change of State.
	OnState func(StateChange)
	// OnOutcome is called when a held message of the user was decided, if the client said it in a
	// room that it joined with JoinOptions.Moderation.
	OnOutcome func(Outcome)

	// Token returns a JSON Web Token. It is called before each attempt to connect, so that
	// it can return a fresh token. An error is retried like an error of the network. nil
	// means that the client connects without a token.
	Token func(context.Context) (string, error)
	// SessionID is the fingerprint that the client sends. If it is "", the server uses the
	// connection's id.
	SessionID string
	// HTTPClient opens the connections; nil means http.DefaultClient.
	HTTPClient *http.Client
	// Header is sent with each attempt to connect. The client does not change it.
	Header http.Header

	// MinDelay and MaxDelay bound the time between two attempts to connect: a random time
	// below MinDelay, which doubles with each failure up to MaxDelay. 0 means 500 ms and 20 s.
	MinDelay, MaxDelay time.Duration
	// AnswerTimeout is how long the server may send nothing while a request waits for its
	// answer; then the connection counts as lost. 0 means 10 s.
	AnswerTimeout time.Duration
	// PingInterval is the time between two requests by which the client checks that the
	// server still answers; 0 means 20 s.
	PingInterval time.Duration
	// QueueSize is how many events may wait for the handlers before the client stops
	// reading; 0 means 1024.
	QueueSize int
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value   *time.Duration
		instead time.Duration
	}{
		{&o.MinDelay, 500 * time.Millisecond}, {&o.MaxDelay, 20 * time.Second},
		{&o.AnswerTimeout, 10 * time.Second}, {&o.PingInterval, 20 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.instead
		}
	}
	if o.QueueSize <= 0 {
		o.QueueSize = 1024
	}
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	return o
}

// State is the state of a client's connection.
type State int

const (
	Connecting State = iota // an attempt to connect is under way
	Connected               // connected, and its rooms are joined
	Waiting                 // waiting for the next attempt
	Closed                  // closed for good
)

// String returns the name of the state in lower case.
func (s State) String() string { return [...]string{"connecting", "connected", "waiting", "closed"}[s] }

// StateChange is a change of a client's State.
type StateChange struct {
	State State
	// Err is the reason for Waiting or Closed; nil for other states. It is a *ClosedError, with
	// the code and the reason, if the server or Close has ended the connection.
	Err error
	// Delay is the time until the next attempt; 0 unless State is Waiting.
	Delay time.Duration
}

// Client is a connection to Moot that reconnects until it is closed. Its methods are
// safe for concurrent use.
//
// After a break the client resumes its session if the server keeps sessions. Otherwise it
// joins its rooms again, and receives the messages that it missed from rooms with history.
// Requests without an answer are sent again if repeating them is safe; the others fail
// with ErrLost. Requests wait while there is no connection.
type Client struct {
	url            url.URL
	o              Options
	rooms          rooms
	events         *queue
	handlers       handlerList
	closing        context.Context // canceled by Close
	close          context.CancelFunc
	firstConnected chan struct{} // closed when connected for the first time
	done           chan struct{}

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced when link or err changes
	state      State
	link       *link // nil unless established: resumed or new, with its rooms joined
	id         string
	session    string // the secret that resumes the session; "" if the server keeps none
	generation int    // counts the connections that were not resumed
	failures   int    // consecutive failed attempts
	last       error  // why the last attempt failed
	err        error  // why the client is closed; nil until then
}

// Connect connects to address and keeps the client connected until Close. address is a
// ws:, wss:, http: or https: URL; without a path it means /ws.
//
// Connect returns when the client is connected for the first time. It retries until ctx
// ends, and fails at once with a *ClosedError if the server refuses the client for good
// or the URL does not lead to a WebSocket. Afterwards ctx has no effect. Handlers may be
// called before Connect returns; if Connect fails, a handler may still be running.
func Connect(ctx context.Context, address string, o Options) (*Client, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := &Client{url: *u, o: o.withDefaults(), rooms: rooms{byName: map[string]*membership{}},
		firstConnected: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	c.events = newQueue(c.o.QueueSize)
	c.handlers.add(c.o.handlers())
	c.closing, c.close = context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.run()
		c.events.close()
	}()
	go func() {
		defer close(c.done)
		c.events.run()
	}()
	select {
	case <-c.firstConnected:
		return c, nil
	case <-c.closing.Done():
		<-over // do not wait for c.done: a handler may be waiting for Connect
		return nil, c.Err()
	case <-ctx.Done():
		c.Close()
		<-over
		if c.last != nil {
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), c.last)
		}
		return nil, context.Cause(ctx)
	}
}

// parse returns the URL to dial for address.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the server is not valid: %w", err)
	}
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a server: use a URL such as wss://chat.example.com", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// State returns the current state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// ID returns the id of the connection, or of the last one while there is none. Every
// connection that is not resumed has a new id.
func (c *Client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Rooms returns the names of the rooms that the client is in or joins again after a
// break, sorted. The caller owns the slice.
func (c *Client) Rooms() []string { return c.rooms.names() }

// Close ends the connection for good. It does not wait: messages that were sent before
// are still delivered and received until Done is closed. Requests that wait for a
// connection fail with a *ClosedError.
func (c *Client) Close() { c.finish(&ClosedError{1000, "closed by the client"}) }

// Done returns a channel that is closed when the client has ended and the last handler
// has returned.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client is closed; nil if it is not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish ends the client for the reason why, unless it has ended.
func (c *Client) finish(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = why
		c.notify()
	}
	c.mu.Unlock()
	c.close()
}

// notify wakes the goroutines that wait for a change of link or err. The caller holds mu.
func (c *Client) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// setState changes the state and queues the call of OnState. The caller holds mu.
func (c *Client) setState(ch StateChange) {
	c.state = ch.State
	c.queue(func(h *Handlers) {
		if h.OnState != nil {
			h.OnState(ch)
		}
	})
}

// headers returns the HTTP headers for an attempt to connect.
func (c *Client) headers(ctx context.Context) (http.Header, error) {
	h := maps.Clone(c.o.Header)
	if c.o.Token == nil {
		return h, nil
	}
	token, err := c.o.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("Options.Token failed: %w", err)
	}
	if h == nil {
		h = http.Header{}
	}
	h["Authorization"] = []string{"Bearer " + token}
	return h, nil
}
