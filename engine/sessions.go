package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// A session outlives the socket of a connection. A lost connection is away: it keeps its
// id, properties, rooms and place. When its grace has passed or the server ends it, it
// leaves its rooms. A new connection of the same tenant and user that knows the session's
// secret claims the session and adopts the resources of the old connection.
//
// A node that stops parks its sessions in the cluster. A node also parks a session if
// another node asks for it because the client has connected there.

var (
	errAway     = &VerbError{"connection is away"}
	errNotFirst = &VerbError{"resume must be requested before any room is joined"}
	errOther    = &VerbError{"session is of another user"}
	errBusy     = &VerbError{"session is busy, try again"}
)

const (
	claimTime = 10 * time.Second // the time in which a claimed connection must become away
	maxEnding = 16               // maximum number of sessions that end at the same time
)

// sessions holds the sessions of this node's connections.
type sessions struct {
	grace time.Duration // 0: no sessions

	mu       sync.Mutex
	bySecret map[string]*Connection // includes claimed sessions until they are dropped
	ending   []*Connection
	working  int // the number of goroutines that run endSessions
}

// session is the session of a connection. It is guarded by sessions.mu.
type session struct {
	secret     string // immutable; "": there is no session
	claimed    bool   // a caller of claim owns the session
	away       bool
	becameAway chan struct{} // closed when the connection is away
	over       chan struct{} // closed when the session can no longer be claimed
}

func (e *Engine) newSession() session {
	if e.sessions.grace == 0 {
		return session{}
	}
	return session{secret: e.cluster.Nodes.Self() + "-" + strings.ToLower(rand.Text()), becameAway: make(chan struct{}), over: make(chan struct{})}
}

// add begins the session of a connection that was accepted.
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

// resumable reports whether a session may outlive a connection that was closed for this
// reason.
func (c Close) resumable() bool { return c.Code == 0 || c.Code >= 3000 && c.Code < 3500 }

// markAway marks a connection as away after its socket was closed and its verbs have ended.
// It returns false if the connection has no session or its session has ended.
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

// noReturn reports whether c cannot be resumed on this node because the node or the tenant
// ends.
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
// then, so closeAll waits for them.
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
		<-c.session.becameAway // memberships become away after the connection
		ctx, cancel := e.untilShutdown(context.Background())
		if !e.closing.Load() || c.sanction(moderation.Ban, "") != nil || e.park(ctx, c, s.grace) != nil {
			e.finish(ctx, c)
		}
		cancel()
	}
}

// forgetSession drops the session of a connection that has ended or was replaced.
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

// drop removes the session of c. The caller holds mu.
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

// sessionClaim identifies a session and the user who claims it.
type sessionClaim struct {
	Secret string `json:"secret"`
	User   string `json:"user,omitempty"`
}

// claim makes the caller the owner of a session. The caller then moves it to another
// connection, parks it in the cluster, or gives it back with unclaim. claim closes a socket
// that is still open. It returns ErrNoSession if there is no such session.
func (e *Engine) claim(ctx context.Context, t *tenant, by sessionClaim) (*Connection, error) {
	s := &e.sessions
	s.mu.Lock()
	c := s.bySecret[by.Secret]
	switch {
	case c == nil || c.tenant != t || c.session.claimed:
		s.mu.Unlock()
		return c, cluster.ErrNoSession
	case otherUser(&c.profile.Load().Connection, by.User):
		s.mu.Unlock()
		return nil, errOther
	}
	c.session.claimed = true
	s.mu.Unlock()
	c.Close(CloseResumed) // has no effect on a connection that is away
	if err := e.waitUntilAway(ctx, c); err != nil {
		e.unclaim(c)
		return nil, err
	}
	c.clearDeadline()
	return c, nil
}

// waitUntilAway waits until a connection is away.
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

// otherUser reports whether a session of the connection of belongs to another user than by, who claims it. A client
// without a user may claim a session whose user a module has named: it knows the secret of the session.
func otherUser(of *hook.Connection, by string) bool {
	return of.User != "" && of.User != by && (by != "" || !of.UserGiven)
}

// handOver parks a session in the cluster for the node that asked for it.
func (e *Engine) handOver(ctx context.Context, t *tenant, by sessionClaim) error {
	c, err := e.claim(ctx, t, by)
	if errors.Is(err, cluster.ErrNoSession) && c != nil && c.tenant == t {
		select { // the session is being parked or resumed
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
