package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// A client learns its session's new secret from the answer to resume, which may be
// lost with the connection. So the secret that it gave leads to the session for a
// while, on all nodes, unless the client sends something else before: then it has
// the answer. What leads there is a trace: a parked session that has Moved.

const (
	redirectTime    = 2 * time.Minute
	redirectTimeout = time.Second // for the cluster to take a trace: without it the client comes back as another
	maxRedirects    = 3           // that lead to one another
)

// leaveTrace leads from the secret before to a session, c's if it is not another's.
func (e *Engine) addRedirect(ctx context.Context, c *Connection, before, session string) {
	if e.cluster.Sessions == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redirectTimeout) // also where the client has gone
	defer cancel()
	b, _ := json.Marshal(parkedSession{Tenant: c.tenant.name, Moved: session}) // texts
	if err := e.cluster.Sessions.Park(ctx, keyOf(before), b, redirectTime); err != nil {
		e.log.Debug("a session has no trace", "connection", c.ID(), "error", err)
	} else if session == c.session.secret {
		c.redirect = keyOf(before)
	}
}

// follow comes back to the session that a trace led to. If that cannot be had yet,
// the trace is left for another try.
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

// eraseTrace is called when the client knows the secret.
func (e *Engine) removeRedirect(ctx context.Context, c *Connection) {
	if c.redirect == "" {
		return
	}
	key := c.redirect
	c.redirect = ""
	ctx, cancel := context.WithTimeout(ctx, redirectTimeout)
	defer cancel()
	if _, err := e.cluster.Sessions.Take(ctx, key); err != nil && !errors.Is(err, cluster.ErrNoSession) {
		e.log.Debug("a session's trace stays until its time is over", "connection", c.ID(), "error", err)
	}
}
