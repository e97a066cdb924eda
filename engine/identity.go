package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/wire"
)

// Tokens checks the tokens of one tenant, which identify its clients.
type Tokens interface {
	// Check returns the identity in a token. The text of an error is for the client and
	// does not contain the token. An error that wraps ErrUnchecked means that the token
	// cannot be checked now. Check is called concurrently.
	Check(ctx context.Context, token string) (Identity, error)
}

// ErrUnchecked means that a token cannot be checked because its key is not available.
var ErrUnchecked = errors.New("token cannot be checked now")

// Identity is the content of a token.
type Identity struct {
	User    string          // "": none
	Claims  []hook.Property // properties that only another token can change
	Expires time.Time       // zero: never
}

const (
	tokenTime  = 10 * time.Second // the time that a client has to send its token
	tokenGrace = 25 * time.Second // the time that a connection may outlive its token
)

// authenticate checks the token before a connection is accepted. The error is a Close.
// later reports that the client will send the token later.
func (c *Connection) authenticate(ctx context.Context, info Info) (id Identity, later bool, err error) {
	cfg := c.tenant.cfg()
	switch {
	case cfg.Tokens == nil, info.Token == "" && !cfg.TokenRequired:
		return Identity{}, false, nil
	case info.Token == "" && info.TokenFollows:
		return Identity{}, true, nil
	}
	id, err = c.identify(ctx, info.Token)
	if err != nil {
		return id, false, c.tokenRefused(err)
	}
	return id, false, nil
}

// tokenRefused logs and counts a refused token. It returns the Close of the connection.
func (c *Connection) tokenRefused(err error) Close {
	c.engine.stats.refused.Add(1)
	p := c.profile.Load()
	c.engine.log.Debug("token refused", "tenant", p.Tenant, "transport", p.Transport, "remote", p.RemoteIP, "reason", err)
	if errors.Is(err, ErrUnchecked) {
		return CloseUnchecked
	}
	return Close{Code: CloseToken.Code, Reason: err.Error()}
}

// identify replaces the identity of the connection by that of a token. The text of the
// error is for the client.
func (c *Connection) identify(ctx context.Context, token string) (Identity, error) {
	tokens := c.tenant.cfg().Tokens
	switch {
	case tokens == nil:
		return Identity{}, &VerbError{"authentication is not configured"}
	case token == "":
		return Identity{}, &VerbError{"token missing"}
	}
	id, err := tokens.Check(ctx, token)
	if err != nil && ctx.Err() != nil {
		err = ErrUnchecked
	}
	if err == nil {
		err = c.applyIdentity(id)
	}
	if err == nil {
		c.engine.indexUser(c)
	}
	return id, err
}

// applyIdentity sets the user and the claims. A claim replaces a property of the same name
// that a module has set.
func (c *Connection) applyIdentity(id Identity) error {
	defer c.profileChanged()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.profile.Load()
	given := old.UserGiven && id.User == ""
	if given {
		id.User = old.User
	}
	if old.User != "" && id.User != old.User {
		return &VerbError{"token is of another user"}
	}
	next := make([]hook.NamedProperty, 0, len(id.Claims)+len(old.Properties))
	for _, claim := range id.Claims {
		next = append(next, hook.NamedProperty{Property: claim, Claim: true})
	}
	for _, p := range old.Properties {
		if !p.Claim && !slices.ContainsFunc(id.Claims, func(claim hook.Property) bool { return claim.Name == p.Name }) {
			next = append(next, p)
		}
	}
	sortProperties(next)
	return c.store(id.User, given, next)
}

// setUser gives the connection the user that a module has named. It is an error if the connection has another user.
// Sanctions of the user hold from now on.
func (e *Engine) setUser(ctx context.Context, c *Connection, user string) error {
	if err := c.giveUser(user); err != nil {
		return err
	}
	if c.admitted.Load() { // otherwise runConnect checks sanctions, and then registers the connection
		e.indexUser(c)
		e.recordUser(ctx, c)
		e.enforceOn([]*Connection{c})
	}
	return nil
}

func (c *Connection) giveUser(user string) error {
	defer c.profileChanged()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.profile.Load()
	switch old.User {
	case user:
		return nil
	case "":
		return c.store(user, true, old.Properties)
	}
	return &VerbError{fmt.Sprintf("the connection has the user %q, which cannot be changed", old.User)}
}

// closeWithToken closes the connection tokenGrace after the token has expired, unless the
// client sends another token before.
func (c *Connection) closeWithToken(expires time.Time) {
	if expires.IsZero() {
		c.clearDeadline()
		return
	}
	c.setDeadline(expires.Add(tokenGrace), Close{Code: CloseToken.Code, Reason: "token expired"})
}

// errTokenFirst is the answer to other verbs while the connection waits for its token.
var errTokenFirst = &VerbError{"a token is needed first (auth TOKEN)"}

// auth accepts a token: the first token of the connection, or a later one. A bad token ends
// the connection, by a Close, only if it is the first one.
func (c *Connection) auth(ctx context.Context, r *wire.Request) (result, error) {
	id, err := c.identify(ctx, r.Token)
	switch {
	case err != nil && c.admitted.Load():
		return result{}, clientError(err)
	case err != nil:
		return result{}, c.tokenRefused(err)
	case !c.admitted.Load():
		if err := c.runConnect(ctx); err != nil {
			return result{}, err
		}
	}
	if err := c.refusedBy(moderation.Ban, ""); err != nil {
		return result{}, Close{Code: CloseBanned.Code, Reason: err.Error()}
	}
	c.engine.recordUser(ctx, c)
	c.closeWithToken(id.Expires)
	data, err := json.Marshal(struct {
		User      string `json:"user,omitempty"`
		ExpiresAt int64  `json:"expiresAt,omitempty"` // ms since 1970
	}{id.User, max(0, id.Expires.UnixMilli())})
	return result{data: data, after: func(context.Context) { c.engine.enforceOn([]*Connection{c}) }}, err // the user may be new
}

// clientError returns the error of a token with a text for the client.
func clientError(err error) error {
	if errors.Is(err, ErrUnchecked) {
		err = ErrUnchecked
	}
	return &VerbError{err.Error()}
}
