//go:build chaos

package redis

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	moderationredis "github.com/mootchat/moot/engine/moderation/redis"
	reviewredis "github.com/mootchat/moot/engine/review/redis"
	"github.com/mootchat/moot/engine/tcp"
)

// Besides observers, a round has servers with clients. Some clients stay, some reconnect with
// their last position, and some resume their session. The servers are nodes on the same Redis,
// and have the same faults.

// The rooms of clients.
const (
	historyRoom = "with history"
	plainRoom   = "without history"
)

const sessionGrace = 12 * time.Second

// site is a server: an engine on a node, with a TCP listener.
type site struct {
	*engine.Engine
	node      *Node
	sanctions *moderationredis.Store
	link      *link
	address   string
}

func (r *round) site(name string) *site {
	s := &site{link: &link{}}
	s.node = open(r.T, r.config(name, s.link))
	s.sanctions = r.sanctionsOf(s.node)
	queue := reviewredis.New(s.node.Client(), s.node.cfg.Prefix, slog.New(slog.NewTextHandler(r.Output(), nil)))
	settings := []engine.RoomSettings{
		{Match: func(room string) bool { return room == historyRoom || room == editedRoom }, Retention: cluster.Retention{Messages: 20_000, For: 5 * time.Minute}},
		{Match: func(room string) bool { return room == usersRoom }, Presence: true, Users: true},
	}
	var err error
	s.Engine, err = engine.New(engine.Config{
		Tenants: []engine.TenantConfig{{Name: "default", StartingRooms: []string{historyRoom, plainRoom, heldRoom, editedRoom, usersRoom}, Rooms: settings}, {Name: quotaTenant}},
		Cluster: s.node.Cluster(), Moderation: s.sanctions, Review: queue, Middleware: rules{}, Grace: sessionGrace, Log: slog.New(slog.NewTextHandler(r.Output(), nil)),
		Limits: engine.Limits{VerbsPerSecond: 10_000, VerbTimeout: time.Minute, OutboxBytes: 16 << 20},
	})
	r.must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	s.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			r.Errorf("Run of %s: %v", name, err)
		}
	})
	running.Go(func() { _ = (&tcp.Server{Engine: s.Engine, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, listener) })
	r.Cleanup(func() { cancel(); running.Wait(); _ = s.sanctions.Close(); _ = queue.Close() })
	<-s.Ready()
	return s
}

// client records the messages of a person over several connections.
type client struct {
	r       *round
	name    string
	from    net.Addr // nil: any
	reading sync.WaitGroup

	mu       sync.Mutex
	conn     net.Conn // nil: none
	gone     chan struct{}
	next     int
	pending  map[int]func(answer)
	places   map[string]*visits
	outcomes map[string]byte // outcomes of messages, by room and text: '+' accepted, '?' unknown
	returns  int             // number of returns without missed messages
	ended    int             // number of sessions that had ended
	view     *view           // nil: the client does not ask for amendments
	outcome  map[string]int  // of reports: notices by target
	users    []string        // announced changes of users; see noteUsers
}

// visits has the messages of a client in a room, in pieces: a new piece begins where the client
// was told that messages may be missing.
type visits struct {
	at     cluster.Position
	pieces [][]string
	gaps   int
}

// answer is a line from a server.
type answer struct {
	Epoch, Context, Message, Error, Room, Held string
	ID, Edits, Retracts, Outcome, User         string
	Offset                                     uint64
	MessageID                                  json.RawMessage
	Recovered                                  bool
	Data                                       json.RawMessage
	Users                                      *usersChange
}

// client returns a client whose messages are checked at the end.
func (r *round) client(name string) *client {
	c := r.newClient(name)
	r.clients = append(r.clients, c)
	return c
}

func (r *round) newClient(name string) *client {
	c := &client{r: r, name: name, places: map[string]*visits{historyRoom: {}, plainRoom: {}}, outcomes: map[string]byte{}, outcome: map[string]int{}}
	r.Cleanup(func() {
		c.mu.Lock()
		if c.conn != nil {
			_ = c.conn.Close()
		}
		c.mu.Unlock()
		c.reading.Wait()
	})
	return c
}

// connect opens a connection to a server.
func (c *client) connect(s *site) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: c.from}).Dial("tcp", s.address)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := make(chan struct{})
	c.conn, c.gone, c.pending = conn, gone, map[int]func(answer){}
	c.reading.Go(func() { c.read(conn, gone) })
	return nil
}

func (c *client) hangUp() {
	c.mu.Lock()
	conn, gone := c.conn, c.gone
	c.mu.Unlock()
	_ = conn.Close()
	<-gone
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.places[plainRoom]; len(p.pieces) > 0 {
		p.pieces = append(p.pieces, nil) // a resumed session receives messages even before the answer
	}
}

func (c *client) read(conn net.Conn, gone chan struct{}) {
	defer close(gone)
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err == nil {
			c.take(a)
		}
	}
}

func (c *client) take(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[a.Room]
	switch {
	case a.Context == "response":
		var id int
		if json.Unmarshal(a.MessageID, &id) == nil && c.pending[id] != nil {
			c.pending[id](a)
			delete(c.pending, id)
		}
	case a.Context == "moderation" && a.Held == "":
		c.outcome[a.User+a.ID]++
	case a.Context == "presence" && a.Users != nil:
		c.noteUsers(a.Users)
	case p == nil:
	case a.Context == "gap":
		p.gaps++
	case a.Context == "user":
		if a.Epoch != "" {
			if a.Epoch == p.at.Epoch && a.Offset <= p.at.Offset {
				c.r.Errorf("%s received offset %d in %q, and was at %d", c.name, a.Offset, a.Room, p.at.Offset)
			}
			p.at = cluster.Position{Epoch: a.Epoch, Offset: a.Offset}
		}
		if a.Room == editedRoom {
			c.see(a)
			return
		}
		last := len(p.pieces) - 1
		p.pieces[last] = append(p.pieces[last], a.Message)
	}
}

var errHungUp = errors.New("the connection has ended")

// ask sends a request and waits for its answer. It calls f with the answer before it reads the
// lines that follow.
func (c *client) ask(request map[string]any, f func(answer)) (answer, error) {
	got := make(chan answer, 1)
	c.mu.Lock()
	c.next++
	request["messageId"] = c.next
	c.pending[c.next] = func(a answer) {
		if f != nil {
			f(a)
		}
		got <- a
	}
	conn, gone := c.conn, c.gone
	c.mu.Unlock()
	if err := send(conn, request); err != nil {
		return answer{}, err
	}
	select {
	case a := <-got:
		return a, nil
	case <-gone:
		return answer{}, errHungUp
	case <-time.After(70 * time.Second): // longer than the time limit of a verb
		return answer{}, fmt.Errorf("%v: no answer", request)
	}
}

func send(conn net.Conn, request map[string]any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(line, '\n'))
	return err
}

// join joins a room, with the client's last position there. It tries again until it succeeds.
func (c *client) join(room string) error {
	for !c.r.late() {
		request := map[string]any{"event": "roomAdd", "room": room, "amendments": c.view != nil}
		c.mu.Lock()
		p := c.places[room]
		if p.at.Epoch != "" {
			request["since"] = map[string]any{"epoch": p.at.Epoch, "offset": p.at.Offset}
		}
		c.mu.Unlock()
		a, err := c.ask(request, func(a answer) {
			if a.Error == "" {
				c.came(room, a.Recovered, cluster.Position{Epoch: a.Epoch, Offset: a.Offset})
			}
		})
		if err != nil || a.Error == "" {
			return err
		}
		c.r.breath(100 * time.Millisecond)
	}
	return errHungUp
}

// came records that the client is in a room. The lock is held.
func (c *client) came(room string, recovered bool, at cluster.Position) {
	p := c.places[room]
	if recovered && len(p.pieces) > 0 {
		c.returns++
	} else {
		p.pieces = append(p.pieces, nil)
	}
	if p.at.Epoch != at.Epoch {
		p.at = at
	}
}

// say says a text until its outcome is known, always with the same key.
func (c *client) say(room, text string, again bool) error {
	for !c.r.late() {
		a, err := c.ask(map[string]any{"event": "say", "room": room, "message": text, "key": room + "/" + text}, nil)
		switch {
		case err != nil:
			return err
		case a.Error == "" && again:
			again = false // the text is said a second time, and must be delivered once
			continue
		case a.Error == "":
			c.note(room, text, '+')
			return nil
		case strings.Contains(a.Error, "unknown"):
			c.note(room, text, '?')
			return nil
		case !strings.Contains(a.Error, "unavailable") && !strings.Contains(a.Error, "not in this room"):
			c.r.Errorf("%s says %q: %s", c.name, text, a.Error)
			return nil
		}
		c.r.breath(50 * time.Millisecond)
	}
	return errHungUp
}

func (c *client) note(room, text string, outcome byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[room+"/"+text] = outcome
}

// enters joins both rooms on a server. The client stays there.
func (c *client) enters(s *site) {
	c.r.must(c.connect(s))
	c.r.must(c.join(historyRoom))
	c.r.must(c.join(plainRoom))
}

// talks makes a client that stays say 20 messages a second in each room.
func (c *client) talks() {
	c.r.work.Go(func() {
		for k := 0; !c.r.over.Load(); k++ {
			room := []string{historyRoom, plainRoom}[k%2]
			if err := c.say(room, fmt.Sprintf("%s %d", c.name, k), k%10 == 0); err != nil && !c.r.late() {
				c.r.Errorf("%s, who stays: %v", c.name, err)
				return
			}
			c.r.breath(25 * time.Millisecond)
		}
	})
}

// comesBack makes a client join the room with history on one server after the other, and lose its
// connection each time.
func (c *client) comesBack(sites []*site, random func(time.Duration) time.Duration) {
	c.r.work.Go(func() {
		for k := 0; ; k++ {
			if c.connect(sites[k%len(sites)]) != nil || c.join(historyRoom) != nil {
				c.r.breath(50 * time.Millisecond)
			}
			if c.r.over.Load() && c.isIn(historyRoom) {
				return
			}
			c.r.breath(100*time.Millisecond + random(600*time.Millisecond))
			c.hangUp()
		}
	})
}

func (c *client) isIn(room string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gone:
		return false
	default:
		return len(c.places[room].pieces) > 0
	}
}

// resumes makes a client in both rooms lose its connection before the answer to a message, resume
// its session on the next server, and say the message again.
func (c *client) resumes(sites []*site, random func(time.Duration) time.Duration) {
	c.r.work.Go(func() {
		secret, unsure := "", ""
		for k := 0; ; k++ {
			if err := c.connect(sites[k%len(sites)]); err != nil {
				c.r.breath(50 * time.Millisecond)
				continue
			}
			secret = c.resumeOrJoin(secret, unsure)
			unsure = ""
			for n := 0; n < 5 && !c.r.over.Load(); n++ {
				_ = c.say([]string{historyRoom, plainRoom}[n%2], fmt.Sprintf("%s %d.%d", c.name, k, n), false)
				c.r.breath(random(100 * time.Millisecond))
			}
			if c.r.over.Load() {
				return
			}
			unsure = fmt.Sprintf("%s %d.last", c.name, k)
			c.mu.Lock()
			conn := c.conn
			c.mu.Unlock()
			_ = send(conn, map[string]any{"event": "say", "room": historyRoom, "message": unsure, "key": historyRoom + "/" + unsure})
			c.r.breath(random(20 * time.Millisecond))
			c.hangUp()
		}
	})
}

// resume resumes a session from the client's position in a room, and returns the new secret.
func (c *client) resume(room, secret string) (next string, a answer, err error) {
	c.mu.Lock()
	at := c.places[room].at
	c.mu.Unlock()
	var resumed struct {
		Session string
		Rooms   map[string]struct {
			cluster.Position
			Recovered bool
		}
	}
	a, err = c.ask(map[string]any{"event": "resume", "session": secret, "since": map[string]any{room: map[string]any{"epoch": at.Epoch, "offset": at.Offset}}}, func(a answer) {
		if a.Error == "" && json.Unmarshal(a.Data, &resumed) == nil {
			for room, back := range resumed.Rooms {
				c.came(room, back.Recovered, back.Position)
			}
		}
	})
	return resumed.Session, a, err
}

// resumeOrJoin resumes a session, or begins a new one if it has ended, and returns the secret.
func (c *client) resumeOrJoin(secret, unsure string) string {
	for secret != "" && !c.r.late() {
		next, a, err := c.resume(historyRoom, secret)
		switch {
		case err != nil:
			return secret
		case a.Error == "":
			if unsure != "" {
				_ = c.say(historyRoom, unsure, false)
			}
			return next
		case strings.Contains(a.Error, "ended"):
			c.mu.Lock()
			c.ended++
			c.mu.Unlock()
			secret = ""
		default:
			c.r.breath(100 * time.Millisecond) // the session is busy, or the cluster is unavailable
		}
	}
	a, err := c.ask(map[string]any{"event": "detailsView"}, nil)
	var details struct{ Session string }
	if err != nil || json.Unmarshal(a.Data, &details) != nil || c.join(historyRoom) != nil || c.join(plainRoom) != nil {
		return ""
	}
	return details.Session
}
