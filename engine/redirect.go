package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// A client learns the new secret of its session from the answer to resume, which may be
// lost with the connection. For a while the old secret therefore leads to the session too,
// on all nodes, by a redirect: a parked session with Moved set. The next request of the
// client, or the use of the new secret, shows that it has received the answer, and the redirect
// is removed. A session therefore has one redirect at most.

const (
	redirectTime    = 2 * time.Minute
	redirectTimeout = time.Second // the time for storing a redirect; without a redirect, a client whose answer was lost gets a new connection
	maxRedirects    = 3           // maximum number of redirects in a row
)

// addRedirect stores a redirect from the secret before to a session. The session is that of
// c or of a connection on another node.
func (e *Engine) addRedirect(ctx context.Context, c *Connection, before, session string) {
	if e.cluster.Sessions == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redirectTimeout) // continues if the client has gone
	defer cancel()
	b, _ := json.Marshal(parkedSession{Tenant: c.tenant.name, Moved: session}) // it has only strings, which can be encoded
	if err := e.cluster.Sessions.Redirect(ctx, keyOf(before), b, redirectTime); err != nil {
		e.log.Debug("the redirect of a session was not stored", "connection", c.ID(), "error", err)
	} else if session == c.session.secret {
		c.redirect = redirect{keyOf(before), time.Now().Add(redirectTime)}
	}
}

// followRedirect resumes the session that a redirect leads to. After a temporary failure it
// stores the redirect again.
func (e *Engine) followRedirect(ctx context.Context, c *Connection, by sessionClaim, session string, sinces map[string]cluster.Position, steps int) ([]*member, error) {
	if steps == 0 {
		return nil, cluster.ErrNoSession
	}
	members, err := e.comeBack(ctx, c, sessionClaim{session, by.User}, sinces, steps-1)
	if err != nil && !errors.Is(err, cluster.ErrNoSession) && !errors.Is(err, errOther) {
		e.addRedirect(ctx, c, by.Secret, session)
	}
	return members, err
}

// redirect is the redirect that leads to the session of a connection. The zero redirect is none.
type redirect struct {
	key   string
	until time.Time // its end
}

// removeRedirect removes the redirect to the session of c, when the client knows the new secret or
// the session has ended. One goroutine at a time may call it: that of Do, or the one that moves or
// ends the session.
func (e *Engine) removeRedirect(ctx context.Context, c *Connection) {
	r := c.redirect
	if r.key == "" {
		return
	}
	c.redirect = redirect{}
	if time.Now().Before(r.until) {
		e.takeRedirect(ctx, r.key)
	}
}

func (e *Engine) takeRedirect(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, redirectTimeout)
	defer cancel()
	if _, err := e.cluster.Sessions.Take(ctx, key); err != nil && !errors.Is(err, cluster.ErrNoSession) {
		e.log.Debug("the redirect of a session was not removed", "error", err)
	}
}
