package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// A client learns the new secret of its session from the answer to resume, which may
// be lost with the connection. The old secret therefore leads to the session for a
// while, on all nodes, by a redirect: a parked session with Moved set. When the client
// sends its next request it has the answer, and the redirect is removed.

const (
	redirectTime    = 2 * time.Minute
	redirectTimeout = time.Second // for the cluster to store a redirect: without it a client whose answer was lost gets a new connection
	maxRedirects    = 3           // in a row
)

// addRedirect leads from the secret before to a session, that of c or of another node's connection.
func (e *Engine) addRedirect(ctx context.Context, c *Connection, before, session string) {
	if e.cluster.Sessions == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redirectTimeout) // also if the client has gone
	defer cancel()
	b, _ := json.Marshal(parkedSession{Tenant: c.tenant.name, Moved: session}) // texts
	if err := e.cluster.Sessions.Park(ctx, keyOf(before), b, redirectTime); err != nil {
		e.log.Debug("the redirect of a session was not stored", "connection", c.ID(), "error", err)
	} else if session == c.session.secret {
		c.redirect = keyOf(before)
	}
}

// followRedirect resumes the session that a redirect leads to. If that fails for now, the
// redirect is stored again.
func (e *Engine) followRedirect(ctx context.Context, c *Connection, by sessionClaim, session string, steps int) ([]*member, error) {
	if steps == 0 {
		return nil, cluster.ErrNoSession
	}
	members, err := e.comeBack(ctx, c, sessionClaim{session, by.User}, steps-1)
	if err != nil && !errors.Is(err, cluster.ErrNoSession) && !errors.Is(err, errOther) {
		e.addRedirect(ctx, c, by.Secret, session)
	}
	return members, err
}

// removeRedirect removes the redirect: the client knows the new secret.
func (e *Engine) removeRedirect(ctx context.Context, c *Connection) {
	if c.redirect == "" {
		return
	}
	key := c.redirect
	c.redirect = ""
	ctx, cancel := context.WithTimeout(ctx, redirectTimeout)
	defer cancel()
	if _, err := e.cluster.Sessions.Take(ctx, key); err != nil && !errors.Is(err, cluster.ErrNoSession) {
		e.log.Debug("the redirect of a session was not removed", "connection", c.ID(), "error", err)
	}
}
