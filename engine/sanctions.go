package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// A tenant's sanctions are on a node while it has clients of the tenant. The store passes
// each change to the node, which then closes connections and ends memberships that a new
// ban forbids. Verbs look only at the node's list.

// sanctions are the sanctions of a tenant on this node.
type sanctions struct {
	list moderation.List

	mu       sync.Mutex
	users    int           // connections and reservations that need the list
	changing chan struct{} // closed when Follow has started or ended; nil: it is doing neither
	stop     func()        // ends Follow; nil: the tenant is not followed
	idle     *time.Timer   // runs unfollow after the last client has gone; nil: there was no last client yet
	enforced bool          // a goroutine runs enforce
	again    bool          // another ban has arrived meanwhile
}

// followTime is the time for which sanctions are followed after the last client has gone.
const followTime = time.Minute

// needSanctions returns when the tenant's sanctions are in memory. After success the caller
// must call dropSanctions.
func (e *Engine) needSanctions(ctx context.Context, t *tenant) error {
	if e.moderation == nil {
		return nil
	}
	s := &t.sanctions
	for {
		s.mu.Lock()
		if s.stop != nil {
			s.users++
			s.mu.Unlock()
			return nil
		}
		if s.changing == nil {
			s.changing = make(chan struct{})
			s.mu.Unlock()
			return e.follow(ctx, t)
		}
		changing := s.changing
		s.mu.Unlock()
		select {
		case <-changing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow begins to follow the tenant for a caller of needSanctions.
func (e *Engine) follow(ctx context.Context, t *tenant) error {
	s := &t.sanctions
	stop, err := e.moderation.Follow(ctx, t.name, func(c moderation.Change) { e.sanctionsChanged(t, c) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endChange()
	if err == nil {
		s.stop = stop
		s.users++
	}
	return err
}

// dropSanctions ends the need of a connection for the tenant's sanctions.
func (e *Engine) dropSanctions(t *tenant) {
	s := &t.sanctions
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	if s.idle != nil {
		s.idle.Reset(followTime)
		return
	}
	s.idle = time.AfterFunc(followTime, func() { e.unfollow(t) })
}

// endChange wakes the callers that wait for the start or the end of Follow. The caller holds mu.
func (s *sanctions) endChange() {
	close(s.changing)
	s.changing = nil
}

// unfollow stops following the tenant if no client needs it.
func (e *Engine) unfollow(t *tenant) {
	s := &t.sanctions
	s.mu.Lock()
	stop := s.stop
	if s.users > 0 || stop == nil {
		s.mu.Unlock()
		return
	}
	s.stop, s.changing = nil, make(chan struct{})
	s.mu.Unlock()
	stop()
	s.list.Replace(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endChange()
}

// sanctionsChanged receives changes from the store.
func (e *Engine) sanctionsChanged(t *tenant, c moderation.Change) {
	c.Apply(&t.sanctions.list)
	t.changes.holdAgain(t, &c)
	for i := range c.Set {
		if c.Set[i].Kind == moderation.Ban {
			e.startEnforcing(t)
			return
		}
	}
}

// startEnforcing runs enforce for the tenant, and again if it is running already.
func (e *Engine) startEnforcing(t *tenant) {
	s := &t.sanctions
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enforced {
		s.again = true
		return
	}
	s.enforced = true
	e.enforcing.Go(func() {
		for more := true; more; {
			e.enforceOn(e.allConnectionsOf(t))
			s.mu.Lock()
			more, s.again = s.again, false
			s.enforced = more
			s.mu.Unlock()
		}
	})
}

// allConnectionsOf returns the connections of the tenant on this node, including those that are away.
func (e *Engine) allConnectionsOf(t *tenant) (all []*Connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.ids.Scan(func(_ string, c *Connection) bool {
		all = append(all, c)
		return true
	})
	return all
}

// enforceOn closes connections, and ends their memberships, if bans forbid them. No leave chain delays the end of
// a connection.
func (e *Engine) enforceOn(all []*Connection) {
	all = slices.DeleteFunc(all, (*Connection).closeIfBanned)
	var leaving errgroup.Group
	leaving.SetLimit(maxEvicting)
	for _, c := range all {
		for _, m := range c.memberships() {
			if room := m.room.id.Room; c.sanction(moderation.Ban, room) != nil {
				leaving.Go(func() error {
					e.expel(c, room)
					return nil
				})
			}
		}
	}
	_ = leaving.Wait() // the functions return no errors
}

// closeIfBanned closes the connection if a ban of all rooms holds for it, and reports that.
func (c *Connection) closeIfBanned() bool {
	ban := c.sanction(moderation.Ban, "")
	if ban != nil {
		c.Close(Close{Code: CloseBanned.Code, Reason: errSanction(ban).Error()})
	}
	return ban != nil
}

// expel ends the membership of a banned connection.
func (e *Engine) expel(c *Connection, room string) {
	if _, err := e.leave(context.Background(), c, room, hook.CauseRemoved); err != nil && !NotMember(err) {
		e.log.Warn("a banned member is still in a room", "connection", c.ID(), "tenant", c.tenant.name, "room", room, "error", err)
	}
}

// sanction returns the sanction of the connection in the room, or nil. For room "" it returns
// one of all rooms.
func (c *Connection) sanction(kind moderation.Kind, room string) *moderation.Sanction {
	list := &c.tenant.sanctions.list
	if list.Len() == 0 {
		return nil
	}
	return list.Find(clientOf(c.profile.Load()), kind, room)
}

func clientOf(p *hook.Profile) moderation.Client {
	return moderation.Client{User: p.User, Address: p.RemoteIP}
}

// refusedBy returns the error of a verb that a sanction forbids, or nil.
func (c *Connection) refusedBy(kind moderation.Kind, room string) error {
	s := c.sanction(kind, room)
	if s == nil {
		return nil
	}
	c.engine.stats.countSanction(kind)
	return errSanction(s)
}

// unsanctioned is a client, and a version of its tenant's list that has no sanctions of it.
type unsanctioned struct {
	who     moderation.Client
	version uint64
}

// sanctioned reports whether the tenant has sanctions of the connection, of any kind and in any room. Without one, it looks
// them up once for each version of the list.
func (c *Connection) sanctioned() bool {
	list := &c.tenant.sanctions.list
	if list.Len() == 0 {
		return false
	}
	who, version := clientOf(c.profile.Load()), list.Version()
	if known := c.unsanctioned.Load(); known != nil && *known == (unsanctioned{who, version}) {
		return false
	}
	if list.Any(who) {
		return true
	}
	c.unsanctioned.Store(&unsanctioned{who, version})
	return false
}

// silenced returns the error of a message that a mute or a ban forbids, or nil. A banned connection may still be a member:
// until its leave has ended, or if a rule moves its message to another room.
func (c *Connection) silenced(room string) error {
	if !c.sanctioned() {
		return nil
	}
	if err := c.refusedBy(moderation.Mute, room); err != nil {
		return err
	}
	return c.refusedBy(moderation.Ban, room)
}

// errSanction returns the error for the client: "banned until TIME: REASON". A client may try
// again when the sanction ends.
func errSanction(s *moderation.Sanction) error {
	text := "muted"
	if s.Kind == moderation.Ban {
		text = "banned"
	}
	if s.Until != 0 {
		text += " until " + time.UnixMilli(s.Until).UTC().Format(time.RFC3339)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if s.Until == 0 {
		return &VerbError{text}
	}
	return &RetryError{Wait: max(time.Until(time.UnixMilli(s.Until)), time.Millisecond), Text: text}
}

// ErrNoModeration is the error of calls for sanctions on an engine without a store of them.
var ErrNoModeration = errors.New("the node keeps no sanctions")

// SetSanction adds a sanction of a tenant, or replaces the one of the same source, subject, kind
// and rooms. It returns what is stored. The error is a *VerbError if the sanction is invalid
// or there are too many, and ErrNoTenant for an unknown tenant.
//
// The sanction holds on this node when SetSanction returns and on the other nodes a moment
// later. Memberships and connections that a ban forbids then end.
func (e *Engine) SetSanction(ctx context.Context, s moderation.Sanction) (moderation.Sanction, error) {
	if err := e.moderated(s.Tenant); err != nil {
		return s, err
	}
	if err := s.Identify(); err != nil {
		return s, &VerbError{err.Error()}
	}
	stored, err := e.moderation.Set(ctx, s)
	if errors.Is(err, moderation.ErrFull) || errors.Is(err, moderation.ErrModulesFull) || errors.Is(err, moderation.ErrSubjectFull) {
		return s, &VerbError{err.Error()}
	}
	if err != nil {
		return s, err
	}
	if stored.Kind == moderation.Ban && stored.Rooms == moderation.AllRooms {
		e.parkedBans.add(e, stored)
	}
	if s.Module == "" {
		e.stats.setByPeople.Add(1)
	} else {
		e.stats.setByModules.Add(1)
	}
	e.log.Info("sanction set", "tenant", s.Tenant, "sanction", s.ID, "subject", s.Subject(), "kind", string(s.Kind), "rooms", s.Rooms, "until", s.Until, "by", strings.TrimSpace(s.By+" "+s.Module))
	e.written(ctx, e.sanctionEvent(&stored))
	return stored, nil
}

// RemoveSanction removes a sanction for the person by. It reports whether there was one that had
// not ended.
func (e *Engine) RemoveSanction(ctx context.Context, tenant, id, by string) (bool, error) {
	if err := e.moderated(tenant); err != nil {
		return false, err
	}
	removed, err := e.moderation.Remove(ctx, tenant, id)
	if removed {
		e.log.Info("sanction removed", "tenant", tenant, "sanction", id, "by", by)
		e.written(ctx, e.pardonEvent(tenant, id, by))
	}
	return removed, err
}

// Sanctions returns a page of the sanctions of a tenant; see [moderation.Store].
func (e *Engine) Sanctions(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	if err := e.moderated(tenant); err != nil {
		return nil, "", err
	}
	return e.moderation.List(ctx, tenant, q)
}

func (e *Engine) moderated(tenant string) error {
	if e.moderation == nil {
		return ErrNoModeration
	}
	if _, err := e.tenant(tenant); err != nil {
		return fmt.Errorf("%w: %q", err, tenant)
	}
	return nil
}
