package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// A session is a connection's life beyond its socket. A connection that was lost is
// away: it keeps its id, properties, rooms and place until its grace has passed or
// the server ends it; then it leaves its rooms as others do at once. Who knows its
// secret, a new connection of the same tenant and user, is it again: it claims the
// session, and adopts what the connection has.
//
// A node that ends leaves its sessions in the cluster, and so does one that is
// asked to by another, whom the client has come to.

var (
	errAway     = &VerbError{"connection is away"}
	errNotFirst = &VerbError{"resume comes before any room is joined"}
	errOther    = &VerbError{"session is of another user"}
	errBusy     = &VerbError{"session is busy, try again"}
)

const (
	claimTime = 10 * time.Second // that a connection may take to become away once it is claimed
	maxEnding = 16               // how many that were away leave their rooms at a time
)

// sessions are those of the connections of this node.
type sessions struct {
	grace time.Duration // 0: there are none

	mu       sync.Mutex
	bySecret map[string]*Connection // also of who is claimed, until it is let go of
	ending   []*Connection
	working  int // goroutines that end them
}

// life is what sessions knows of a connection, under sessions.mu.
type session struct {
	secret     string // does not change; "": it has no session
	claimed    bool   // somebody takes the session over
	away       bool
	becameAway chan struct{} // closed when it is away
	over       chan struct{} // closed when nobody can claim it any more
}

func (e *Engine) newSession() session {
	if e.sessions.grace == 0 {
		return session{}
	}
	return session{secret: e.cluster.Nodes.Self() + "-" + strings.ToLower(rand.Text()), becameAway: make(chan struct{}), over: make(chan struct{})}
}

// keep begins the session of a connection that was let in.
func (s *sessions) add(c *Connection) {
	if c.session.secret == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySecret == nil {
		s.bySecret = map[string]*Connection{}
	}
	s.bySecret[c.session.secret] = c
}

func (s *sessions) isAway(c *Connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.session.away
}

// resumable says whether a client that was told so may come back.
func (c Close) resumable() bool { return c.Code == 0 || c.Code >= 3000 && c.Code < 3500 }

// goAway makes a connection away whose socket has ended and whose verbs are done.
// It is false if it has no session, or has ended it.
func (e *Engine) markAway(ctx context.Context, c *Connection, why Close) bool {
	s := &e.sessions
	s.mu.Lock()
	if s.bySecret[c.session.secret] != c {
		s.mu.Unlock()
		return false
	}
	claimed := c.session.claimed
	if !claimed && !why.resumable() {
		s.drop(c)
		s.mu.Unlock()
		return false
	}
	c.session.away = true
	s.mu.Unlock()
	e.countAway(c, 1)
	for _, m := range c.memberships() {
		m.awaySince = m.room.setAway(m)
	}
	if !claimed {
		c.setDeadline(time.Now().Add(s.grace), Close{})
	}
	close(c.session.becameAway)
	if e.noReturn(c) {
		e.endAway(c)
	}
	return true
}

// retiring says whether nobody may come back to c here.
func (e *Engine) noReturn(c *Connection) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closing.Load() || c.tenant.gone != nil
}

// expel ends the session of a connection that is away, in its own time. It is
// false if the connection is not away.
func (e *Engine) endAway(c *Connection) bool {
	s := &e.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.session.away || c.session.claimed {
		return c.session.away
	}
	c.session.claimed = true
	s.ending = append(s.ending, c)
	if s.working < maxEnding {
		s.working++
		go e.endSessions()
	}
	return true
}

// endSessions ends sessions until there is none left to end. The connections are
// counted as such till then: whoever waits for the last one waits for this.
func (e *Engine) endSessions() {
	s := &e.sessions
	for {
		s.mu.Lock()
		if len(s.ending) == 0 {
			s.working--
			s.ending = nil
			s.mu.Unlock()
			return
		}
		c := s.ending[0]
		s.ending[0] = nil
		s.ending = s.ending[1:]
		s.mu.Unlock()
		<-c.session.becameAway // it was said to be away before its places in rooms are
		ctx, cancel := e.untilShutdown(context.Background())
		if !e.closing.Load() || e.park(ctx, c, s.grace) != nil {
			e.finish(ctx, c)
		}
		cancel()
	}
}

// forget lets go of a connection that has ended, or whose session is another's
// now.
func (e *Engine) forgetSession(c *Connection) {
	s := &e.sessions
	s.mu.Lock()
	s.drop(c)
	away := c.session.away
	c.session.away = false
	s.mu.Unlock()
	if away {
		c.clearDeadline()
		e.countAway(c, -1)
	}
}

// drop is called with mu held.
func (s *sessions) drop(c *Connection) {
	if c.session.secret != "" && s.bySecret[c.session.secret] == c {
		delete(s.bySecret, c.session.secret)
		close(c.session.over)
	}
}

func (e *Engine) countAway(c *Connection, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.tenant.quota.away += n
}

// sessionClaim is who wants which session.
type sessionClaim struct {
	Secret string `json:"secret"`
	User   string `json:"user,omitempty"`
}

// claim takes a session, which is then the caller's alone: it gives it to another
// connection, leaves it in the cluster, or gives it back by unclaim. A socket that
// is still there is closed. ErrNoSession if there is none.
func (e *Engine) claim(ctx context.Context, t *tenant, by sessionClaim) (*Connection, error) {
	s := &e.sessions
	s.mu.Lock()
	c := s.bySecret[by.Secret]
	switch {
	case c == nil || c.tenant != t || c.session.claimed:
		s.mu.Unlock()
		return c, cluster.ErrNoSession
	case otherUser(c.profile.Load().User, by.User):
		s.mu.Unlock()
		return nil, errOther
	}
	c.session.claimed = true
	s.mu.Unlock()
	c.Close(CloseResumed) // does nothing to one that is away
	if err := e.waitUntilAway(ctx, c); err != nil {
		e.unclaim(c)
		return nil, err
	}
	c.clearDeadline()
	return c, nil
}

// settled waits until a connection is away.
func (e *Engine) waitUntilAway(ctx context.Context, c *Connection) error {
	late := time.NewTimer(claimTime)
	defer late.Stop()
	select {
	case <-c.session.becameAway:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return errBusy
	}
}

func (e *Engine) unclaim(c *Connection) {
	s := &e.sessions
	s.mu.Lock()
	c.session.claimed = false
	away := c.session.away
	s.mu.Unlock()
	if away {
		c.setDeadline(time.Now().Add(s.grace), Close{})
		if e.noReturn(c) {
			e.endAway(c)
		}
	}
}

// otherUser says whether a session of one user is not to be had by another.
func otherUser(of, by string) bool { return of != "" && of != by }

// handOver leaves a session in the cluster for the node that asks.
func (e *Engine) handOver(ctx context.Context, t *tenant, by sessionClaim) error {
	c, err := e.claim(ctx, t, by)
	if errors.Is(err, cluster.ErrNoSession) && c != nil && c.tenant == t {
		select { // it is on its way there, or elsewhere
		case <-c.session.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := e.untilShutdown(ctx)
	defer cancel()
	if err := e.park(ctx, c, handOverTime); err != nil {
		e.finish(ctx, c)
		return err
	}
	return nil
}
