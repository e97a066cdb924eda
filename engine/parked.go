package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// handOverTime is the time for which a session stays parked for the node that asked for it.
const handOverTime = 30 * time.Second

// parkedSession is a session that no node holds, or a redirect to a session.
type parkedSession struct {
	Tenant  string          `json:"tenant"`
	Moved   string          `json:"moved,omitempty"` // of a redirect: the secret of the session that it leads to; other fields than the tenant are then empty
	ID      string          `json:"id"`
	Profile json.RawMessage `json:"profile"` // a storedProfile
	Claims  []string        `json:"claims,omitempty"`
	Rooms   []parkedRoom    `json:"rooms,omitempty"`
	Keys    []usedKey       `json:"keys,omitempty"`
	Actions int             `json:"actions"`

	Releases []string `json:"releases,omitempty"` // see Connection.releases

	Redirect string `json:"redirect,omitempty"` // the key of the redirect to the session; "": none
}

// parkedRoom is a membership of a parked session.
type parkedRoom struct {
	Room     string           `json:"room"`
	JoinedAt int64            `json:"joinedAt"`
	Watches  bool             `json:"watches,omitempty"`
	Informed bool             `json:"informed,omitempty"`
	Amends   bool             `json:"amends,omitempty"`
	Since    cluster.Position `json:"since"` // the position of the last message that was sent to the member, or an earlier one
}

// keyOf returns the key of a session in the cluster: a digest of the secret.
func keyOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// park parks the session of a connection that is away and claimed. It ends the memberships
// on this node without running the leave chain. After an error the caller must end them. The error is
// cluster.ErrNoSession if the server API has closed the connections of the user.
func (e *Engine) park(ctx context.Context, c *Connection, ttl time.Duration) error {
	if e.cluster.Sessions == nil {
		return fmt.Errorf("park a session: %w", cluster.ErrUnavailable)
	}
	if c.tenant.closed.include(c.profile.Load()) {
		return cluster.ErrNoSession
	}
	moving, cancel := e.completing(ctx, c.tenant)
	defer cancel()
	moved := c.beginMove(moving)
	b, err := json.Marshal(parkedOf(c, moved))
	if err != nil {
		c.stay(moved)
		return err
	}
	// Parking can fail, so it comes first. If this node dies before its members are
	// removed, other nodes run leave for them, and a client that resumes joins again.
	key := keyOf(c.session.secret)
	if err := e.cluster.Sessions.Park(ctx, key, b, ttl); err != nil {
		e.log.Debug("a session was not parked", "connection", c.ID(), "error", err)
		c.stay(moved)
		return err
	}
	if c.tenant.closed.include(c.profile.Load()) { // since the check above
		if _, err := e.cluster.Sessions.Take(ctx, key); err == nil {
			c.stay(moved)
			return cluster.ErrNoSession
		}
	}
	for _, m := range moved {
		e.detach(ctx, m)
	}
	e.release(c)
	return nil
}

// stay ends the move of memberships that did not move.
func (c *Connection) stay(members []*member) {
	for _, m := range members {
		c.endStage(m, false)
	}
}

func parkedOf(c *Connection, rooms []*member) parkedSession {
	p := c.profile.Load()
	s := parkedSession{Tenant: c.tenant.name, ID: p.ID, Profile: encodeProfile(p), Keys: c.keys.all(), Redirect: c.redirect.key}
	for _, n := range p.Properties {
		if n.Claim {
			s.Claims = append(s.Claims, n.Name)
		}
	}
	s.Actions, s.Releases = c.actionCount(), c.allReleases()
	for _, m := range rooms {
		s.Rooms = append(s.Rooms, parkedRoom{m.room.id.Room, m.joinedAt, m.watches, m.informed, m.amends, m.awaySince})
	}
	return s
}

// release releases the resources of a connection, except its rooms, and unregisters it.
func (e *Engine) release(c *Connection) {
	e.forgetSession(c)
	c.keys.clear()
	c.out.Release()
	c.reservation.free()
	e.unregister(c)
}

// unpark takes a session from the cluster. If a node still holds the session, it asks the
// node to park it first.
func (e *Engine) unpark(ctx context.Context, t *tenant, by sessionClaim) (parkedSession, error) {
	var s parkedSession
	b, err := e.takeParked(ctx, t, by)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		e.log.Error("a parked session cannot be decoded", "tenant", t.name, "error", err)
		return s, cluster.ErrNoSession
	}
	var p storedProfile
	_ = json.Unmarshal(s.Profile, &p) // a damaged profile stays empty
	if s.Tenant == t.name && !otherUser(&p.Connection, by.User) {
		return s, nil
	}
	e.Expired(ctx, b) // a client of another user or tenant knows the secret; the session ends
	if s.Tenant != t.name {
		return s, cluster.ErrNoSession
	}
	return s, errOther
}

func (e *Engine) takeParked(ctx context.Context, t *tenant, by sessionClaim) ([]byte, error) {
	if e.cluster.Sessions == nil {
		return nil, cluster.ErrNoSession
	}
	key := keyOf(by.Secret)
	b, err := e.cluster.Sessions.Take(ctx, key)
	node := nodeOf(by.Secret)
	if !errors.Is(err, cluster.ErrNoSession) || node == e.cluster.Nodes.Self() || !validNode(node) {
		return b, err
	}
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	value, _ := json.Marshal(by) // it has only strings, which can be encoded
	_, err = e.ask(ctx, node, call{Do: callHandOver, Tenant: t.name, Value: value})
	switch {
	case errors.Is(err, cluster.ErrNoNode):
		return nil, cluster.ErrNoSession
	case err != nil:
		return nil, err
	}
	return e.cluster.Sessions.Take(ctx, key)
}

// validNode reports whether name, which comes from a client, can be the name of a node.
func validNode(name string) bool {
	return name != "" && len(name) <= 63 && !slices.ContainsFunc([]rune(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// Expired implements cluster.Handler: the connection of a session that was not resumed
// leaves its rooms.
func (e *Engine) Expired(ctx context.Context, session []byte) {
	var s parkedSession
	if err := json.Unmarshal(session, &s); err != nil {
		e.log.Error("a parked session cannot be decoded", "error", err)
		return
	}
	e.endParked(ctx, &s, hook.CauseDisconnect)
}

// endParked ends a parked session: its connection leaves its rooms.
func (e *Engine) endParked(ctx context.Context, s *parkedSession, cause hook.Cause) {
	if s.Moved != "" {
		return
	}
	profile := decodeProfile(s.Tenant, cluster.MemberRecord{ID: s.ID, Profile: s.Profile})
	for _, r := range s.Rooms {
		e.leaveParked(ctx, profile, r, cause)
	}
	e.disconnect(ctx, e.settings.Load().tenants[s.Tenant], profile)
}

// leaveParked runs leave for a membership of a parked session, which is no longer recorded.
func (e *Engine) leaveParked(ctx context.Context, profile *hook.Profile, r parkedRoom, cause hook.Cause) {
	id := cluster.RoomID{Tenant: profile.Tenant, Room: r.Room}
	e.applyLeave(ctx, id, profile.ID, e.decideLeave(ctx, id, profile, r.JoinedAt, cause))
}
