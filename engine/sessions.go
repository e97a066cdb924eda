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

// A session outlives the socket of a connection. A connection that was lost is away: it
// keeps its id, properties, rooms and place until its grace has passed or the server
// ends it, and then leaves its rooms. A new connection of the same tenant and user that
// knows the secret of the session claims it, and adopts what the connection has.
//
// A node that stops parks its sessions in the cluster. A node also parks a session when
// another node asks for it because the client has come there.

var (
	errAway     = &VerbError{"connection is away"}
	errNotFirst = &VerbError{"resume comes before any room is joined"}
	errOther    = &VerbError{"session is of another user"}
	errBusy     = &VerbError{"session is busy, try again"}
)

const (
	claimTime = 10 * time.Second // for a claimed connection to become away
	maxEnding = 16               // connections whose sessions end at a time
)

// sessions are the sessions of this node's connections.
type sessions struct {
	grace time.Duration // 0: no sessions

	mu       sync.Mutex
	bySecret map[string]*Connection // also claimed ones, until they are dropped
	ending   []*Connection
	working  int // goroutines that run endSessions
}

// session is the session of a connection, under sessions.mu.
type session struct {
	secret     string // does not change; "": it has no session
	claimed    bool   // a caller of claim owns the session
	away       bool
	becameAway chan struct{} // closed when it is away
	over       chan struct{} // closed when it cannot be claimed any more
}

func (e *Engine) newSession() session {
	if e.sessions.grace == 0 {
		return session{}
	}
	return session{secret: e.cluster.Nodes.Self() + "-" + strings.ToLower(rand.Text()), becameAway: make(chan struct{}), over: make(chan struct{})}
}

// add begins the session of a connection that was let in.
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

// resumable reports whether a session outlives a connection that was closed so.
func (c Close) resumable() bool { return c.Code == 0 || c.Code >= 3000 && c.Code < 3500 }

// markAway makes a connection away whose socket is closed and whose verbs are done. It returns
// false if the connection has no session, or its session has ended.
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

// noReturn reports whether c cannot be resumed on this node: the node or the tenant ends.
func (e *Engine) noReturn(c *Connection) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closing.Load() || c.tenant.gone != nil
}

// endAway begins to end the session of a connection that is away, and does not wait. It
// returns false if the connection is not away.
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

// endSessions ends sessions until none is left. Their connections stay registered until
// then, so that closeAll waits for them.
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
		<-c.session.becameAway // its memberships become away after it
		ctx, cancel := e.untilShutdown(context.Background())
		if !e.closing.Load() || e.park(ctx, c, s.grace) != nil {
			e.finish(ctx, c)
		}
		cancel()
	}
}

// forgetSession drops the session of a connection that has ended or was resumed.
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

// sessionClaim names a session, and the user who claims it.
type sessionClaim struct {
	Secret string `json:"secret"`
	User   string `json:"user,omitempty"`
}

// claim gives the caller a session to own: it moves it to another connection, parks it in
// the cluster, or returns it by unclaim. A socket that is still open is closed.
// ErrNoSession if there is no such session.
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

// otherUser reports whether the session of a user must not go to another one.
func otherUser(of, by string) bool { return of != "" && of != by }

// handOver parks a session in the cluster for the node that asks.
func (e *Engine) handOver(ctx context.Context, t *tenant, by sessionClaim) error {
	c, err := e.claim(ctx, t, by)
	if errors.Is(err, cluster.ErrNoSession) && c != nil && c.tenant == t {
		select { // it is being parked or resumed
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
