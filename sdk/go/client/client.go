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

// Options of a client. The zero Options are good.
//
// The handlers are called one after the other, in the order in which things happened,
// on one goroutine of the client's own; nil ones are not. They may call the client. While
// they are behind, the client reads no further, and a server whose client does not read
// closes the connection in the end.
type Options struct {
	OnMessage  func(Message)
	OnPresence func(Presence)
	OnNotice   func(Notice)
	// OnConnected is told of each connection, once its rooms are joined again. resumed:
	// it is the same as before the break.
	OnConnected func(id string, resumed bool)
	// OnGap is called when the client may lack messages of this room: they were published
	// while it was away and the server cannot give them all, or the room keeps no history,
	// so that nobody knows, or the server itself has lost them.
	OnGap func(room string)
	// OnLeft is told when the client could not join the room again after a break.
	OnLeft func(room string, reason error)
	// OnState is told of each change of State.
	OnState func(Change)

	// Token gives a JSON Web Token. It is asked before each attempt to connect, so that
	// the token may be fresh; an error of it is tried again like one of the network. nil
	// for no token.
	Token func(context.Context) (string, error)
	// SessionID is the fingerprint that this client shows; "" for the connection's id.
	SessionID string
	// HTTPClient makes the connections; nil for http.DefaultClient.
	HTTPClient *http.Client
	// Header goes with each attempt to connect; nil for none. The client reads it only.
	Header http.Header

	// MinDelay and MaxDelay bound the time between two attempts, which is chosen by chance
	// below a bound that doubles; 0 for 500 ms and 20 s.
	MinDelay, MaxDelay time.Duration
	// AnswerWithin is the time in which the server must say something while it owes an
	// answer, else the connection counts as lost; 0 for 10 s.
	AnswerWithin time.Duration
	// LookEvery is the time between two looks whether the server is there; 0 for 20 s. A
	// network that went away says nothing by itself.
	LookEvery time.Duration
	// Queue is how many events may wait for the handlers before the client reads no
	// further; 0 for 1024.
	Queue int
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value   *time.Duration
		instead time.Duration
	}{
		{&o.MinDelay, 500 * time.Millisecond}, {&o.MaxDelay, 20 * time.Second},
		{&o.AnswerWithin, 10 * time.Second}, {&o.LookEvery, 20 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.instead
		}
	}
	if o.Queue <= 0 {
		o.Queue = 1024
	}
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	return o
}

// State is where a client is.
type State int

// The states: at an attempt to connect, there, between two attempts, at its end.
const (
	Connecting State = iota
	Connected
	Waiting
	Closed
)

// String is the state's name in small letters.
func (s State) String() string { return [...]string{"connecting", "connected", "waiting", "closed"}[s] }

// Change is a change of the state.
type Change struct {
	State State
	// Err is why, when it is Waiting or Closed; else nil.
	Err error
	// Delay is the time until the next attempt, when it is Waiting.
	Delay time.Duration
}

// Client is a connection to Moot that comes back by itself until it is closed. Its
// methods may be called by several goroutines at once.
//
// After a break it joins its rooms again, and hears what was said meanwhile as far as
// the rooms keep history. Where the server keeps sessions it is the same connection
// again. What was asked and not answered is asked again if asking twice does no harm,
// and fails with ErrLost if it might. Until there is a connection, what is asked waits.
type Client struct {
	url     url.URL
	o       Options
	rooms   rooms
	events  *queue
	closing context.Context // ends with Close
	close   context.CancelFunc
	arrived chan struct{} // closed when connected for the first time
	done    chan struct{}

	mu       sync.Mutex
	changed  chan struct{} // closed when one of the following changes
	state    State
	link     *link // nil while there is none that is greeted
	id       string
	session  string // its secret; "" for none
	life     int    // counts the connections that are not the same
	failures int    // in a row
	last     error  // why the last attempt failed
	err      error  // why it is closed; nil until then
}

// Connect connects, and comes back until Close. address is a ws:, wss:, http: or https:
// URL; where it has no path, /ws. Connect returns when the client is connected for the
// first time; it tries until ctx ends, and fails at once with a *ClosedError if the
// server does not want the client or the URL leads to something else. ctx matters no
// more after that. Handlers may be called before Connect returns; where it fails, one that
// was called may still run then.
func Connect(ctx context.Context, address string, o Options) (*Client, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := &Client{url: *u, o: o.withDefaults(), rooms: rooms{places: map[string]*place{}},
		arrived: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	c.events = newQueue(c.o.Queue)
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
	case <-c.arrived:
		return c, nil
	case <-c.closing.Done():
		<-over // but not for the handlers, which may wait for this
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

// parse is the URL to dial for what the user wrote.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL: %w", address, err)
	}
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as wss://chat.example.com", address)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// State is where the client is just now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// ID is the connection's id. It changes with every connection that is not resumed.
func (c *Client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Rooms are the rooms this client is in, or joins again after a break, sorted.
func (c *Client) Rooms() []string { return c.rooms.names() }

// Close says goodbye and ends the connection for good. It does not wait: what was said
// before is still heard, until Done. What waits for a connection fails with a
// *ClosedError.
func (c *Client) Close() { c.finish(&ClosedError{1000, "closed by the client"}) }

// Done is closed when the client has ended and the last handler has returned.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is nil until the client is closed, and then why.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish ends the client, unless it has ended.
func (c *Client) finish(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = why
		c.wake()
	}
	c.mu.Unlock()
	c.close()
}

// wake tells who waits for a change. It is called with mu held.
func (c *Client) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// tell changes the state. It is called with mu held.
func (c *Client) tell(ch Change) {
	c.state = ch.State
	if c.o.OnState != nil {
		c.events.push(func() { c.o.OnState(ch) }, nil)
	}
}

// headers are those of an attempt to connect.
func (c *Client) headers(ctx context.Context) (http.Header, error) {
	h := maps.Clone(c.o.Header)
	if c.o.Token == nil {
		return h, nil
	}
	token, err := c.o.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("no token: %w", err)
	}
	if h == nil {
		h = http.Header{}
	}
	h["Authorization"] = []string{"Bearer " + token}
	return h, nil
}
