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

// handOverTime is how long a session may be on its way from node to node.
const handOverTime = 30 * time.Second

// parkedSession is a session that no node holds, or a trace of one.
type parkedSession struct {
	Tenant  string          `json:"tenant"`
	Moved   string          `json:"moved,omitempty"` // the secret of the session that it is a trace of; all but the tenant is empty then
	ID      string          `json:"id"`
	Profile json.RawMessage `json:"profile"` // a storedProfile
	Claims  []string        `json:"claims,omitempty"`
	Rooms   []parkedRoom    `json:"rooms,omitempty"`
	Keys    []keyed         `json:"keys,omitempty"`
	Actions int             `json:"actions"`
}

// parkedRoom is a membership.
type parkedRoom struct {
	Room     string           `json:"room"`
	JoinedAt int64            `json:"joinedAt"`
	Watches  bool             `json:"watches,omitempty"`
	Since    cluster.Position `json:"since"` // the last message that was sent to it, at most
}

// keyOf is a session's key in the cluster, which does not know secrets.
func keyOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// park leaves the session of a connection that is away and claimed in the cluster.
// Its memberships end here, without the rules being asked. Where the cluster does
// not take it they go on, and are the caller's to end.
func (e *Engine) park(ctx context.Context, c *Connection, ttl time.Duration) error {
	if e.cluster.Sessions == nil {
		return fmt.Errorf("park a session: %w", cluster.ErrUnavailable)
	}
	state := parkedOf(c)
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	// First that, for it can fail. If this node dies before its members are off
	// record, others run leave for them, and who comes back is a member again.
	if err := e.cluster.Sessions.Park(ctx, keyOf(c.session.secret), b, ttl); err != nil {
		e.log.Debug("a session was not left in the cluster", "connection", c.ID(), "error", err)
		return err
	}
	for _, m := range c.memberships() {
		e.detach(ctx, m)
	}
	e.release(c)
	return nil
}

func parkedOf(c *Connection) parkedSession {
	p := c.profile.Load()
	s := parkedSession{Tenant: c.tenant.name, ID: p.ID, Profile: encodeProfile(p), Keys: c.keys.order}
	for _, n := range p.Properties {
		if n.Claim {
			s.Claims = append(s.Claims, n.Name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Actions = c.totalActions
	for _, m := range c.rooms {
		if m.stage != joining {
			s.Rooms = append(s.Rooms, parkedRoom{m.room.id.Room, m.joinedAt, m.watches, m.awaySince})
		}
	}
	return s
}

// release gives back what a connection has besides its rooms: nobody finds it any
// more.
func (e *Engine) release(c *Connection) {
	e.forgetSession(c)
	c.out.Release()
	c.reservation.free()
	e.unregister(c)
}

// unpark takes a session out of the cluster, which its node may have to leave there
// first.
func (e *Engine) unpark(ctx context.Context, t *tenant, by sessionClaim) (parkedSession, error) {
	var s parkedSession
	b, err := e.takeParked(ctx, t, by)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		e.log.Error("a session from the cluster is damaged", "tenant", t.name, "error", err)
		return s, cluster.ErrNoSession
	}
	var p storedProfile
	_ = json.Unmarshal(s.Profile, &p) // of what is damaged nothing comes back
	if s.Tenant == t.name && !otherUser(p.User, by.User) {
		return s, nil
	}
	e.Expired(ctx, b) // the secret is not safe any more
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
	value, _ := json.Marshal(by) // two texts
	_, err = e.ask(ctx, node, call{Do: callHandOver, Tenant: t.name, Value: value})
	switch {
	case errors.Is(err, cluster.ErrNoNode):
		return nil, cluster.ErrNoSession
	case err != nil:
		return nil, err
	}
	return e.cluster.Sessions.Take(ctx, key)
}

// validNode says whether a client's word may be the name of a node.
func validNode(name string) bool {
	return name != "" && len(name) <= 63 && !slices.ContainsFunc([]rune(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// Expired implements Handler: a session that nobody came back to leaves its rooms.
func (e *Engine) Expired(ctx context.Context, session []byte) {
	var s parkedSession
	if err := json.Unmarshal(session, &s); err != nil {
		e.log.Error("a session from the cluster is damaged", "error", err)
		return
	}
	if s.Moved != "" {
		return
	}
	profile := decodeProfile(s.Tenant, cluster.MemberRecord{ID: s.ID, Profile: s.Profile})
	for _, r := range s.Rooms {
		e.leaveParked(ctx, profile, r, hook.CauseDisconnect)
	}
	e.disconnect(ctx, e.settings.Load().tenants[s.Tenant], profile)
}

// letGo runs leave for a member that is not on record any more.
func (e *Engine) leaveParked(ctx context.Context, profile *hook.Profile, r parkedRoom, cause hook.Cause) {
	id := cluster.RoomID{Tenant: profile.Tenant, Room: r.Room}
	e.applyLeave(ctx, id, profile.ID, e.decideLeave(ctx, id, profile, r.JoinedAt, cause))
}
