package engine

import (
	"context"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// Modules set and pardon sanctions, remove members and amend messages, as effects. A chain does not wait for
// these changes. A change of a sanction holds on this node at once, and a goroutine passes it to
// the store, from which the other nodes receive it. Another goroutine removes members, and a third one amends messages.
// A tenant has at most one goroutine of each kind, and none if nothing waits.

// moderate starts to carry out the sanctions, removals and amendments of effects, and returns the other effects.
func (e *Engine) moderate(t *tenant, effects []hook.Effect) (rest []hook.Effect) {
	first := 0
	for first < len(effects) && !effects[first].Moderates() {
		first++
	}
	if first == len(effects) {
		return effects
	}
	rest = append(rest, effects[:first]...)
	for _, f := range effects[first:] {
		switch {
		case f.Sanction != nil:
			e.changeSanction(t, f.Sanction)
		case f.Removal != nil:
			r := f.Removal
			e.enqueue(t, &t.removals, r.Connection+"\x00"+r.Room, &task{removal: r})
		case f.Amend != nil:
			e.enqueueAmendment(t, f.Amend)
		default:
			rest = append(rest, f)
		}
	}
	return rest
}

// moderateDenied starts to carry out the sanctions, removals and amendments of a chain that did not allow its event.
func (e *Engine) moderateDenied(ev *hook.Event, effects []hook.Effect) {
	t := e.settings.Load().tenants[ev.Tenant]
	if t == nil {
		return // it was removed
	}
	if ev.Hook == hook.OnSayReceive && ev.Conn != nil && t.sanctions.list.Find(clientOf(ev.Conn), moderation.Shadow, ev.Room) != nil {
		effects = unnoticed(ev.Conn, effects)
	}
	e.moderate(t, effects)
}

// task is a change of a sanction, a removal or an amendment that a module has requested.
type task struct {
	sanction moderation.Sanction
	pardon   bool            // sanction is removed, and set otherwise
	removal  *hook.Removal   // nil: the task is no removal
	amend    *hook.Amendment // nil: the task is no amendment
}

func (one *task) isSanction() bool { return one.removal == nil && one.amend == nil }

// module returns the name of the module that has requested the task.
func (one *task) module() string {
	switch {
	case one.removal != nil:
		return one.removal.Module
	case one.amend != nil:
		return one.amend.Module
	}
	return one.sanction.Module
}

// changeSanction makes a change of a sanction hold on this node, and begins to pass it to the store.
func (e *Engine) changeSanction(t *tenant, f *hook.Sanction) {
	one := &task{sanction: f.Set, pardon: f.Pardon}
	one.sanction.Tenant = t.name
	if f.TTL > 0 {
		one.sanction.Until = time.Now().Add(f.TTL).UnixMilli()
	}
	if e.moderation == nil {
		e.stats.emitsDropped.Add(1)
		e.log.Warn("a module's sanction was dropped", "tenant", t.name, "module", f.Set.Module, "error", ErrNoModeration)
		return
	}
	e.enqueue(t, &t.changes, one.sanction.ID, one)
	if one.sanction.Kind == moderation.Ban && !one.pardon {
		e.startEnforcing(t)
	}
}

// enqueue adds a task, in place of a waiting one with the same key.
func (e *Engine) enqueue(t *tenant, b *backlog, key string, one *task) {
	start, ok := b.put(t, key, one)
	switch {
	case !ok:
		e.stats.emitsDropped.Add(1)
		e.log.Warn("a module's sanction, removal or amendment was dropped: too many wait to be carried out", "tenant", t.name, "module", one.module())
	case start:
		e.enforcing.Go(func() { e.carryOut(t, b) })
	}
}

// carryOut carries out the tasks of a backlog, one after the other.
func (e *Engine) carryOut(t *tenant, b *backlog) {
	for one := b.first(); one != nil; one = b.first() {
		var err error
		switch {
		case one.removal != nil:
			e.remove(t, one.removal)
		case one.amend != nil:
			e.amendForModule(t, one.amend)
		default:
			if err = e.storeChange(t, one); err != nil {
				e.stats.emitsDropped.Add(1)
				e.log.Warn("a module's sanction was dropped", "tenant", t.name, "module", one.sanction.Module, "sanction", one.sanction.ID,
					"subject", one.sanction.Subject(), "kind", string(one.sanction.Kind), "error", err)
			}
		}
		b.done(t, one, err != nil)
	}
}

// The times between two tries to change a sanction in a store that does not answer.
const (
	storeRetry     = 100 * time.Millisecond
	longStoreRetry = 2 * time.Second
	storeTime      = 5 * time.Second // for one try
)

// storeChange changes a sanction in the store. It repeats the change until the store answers, the
// sanction has ended or the engine closes. The error is final.
func (e *Engine) storeChange(t *tenant, one *task) error {
	for wait := storeRetry; ; wait = min(2*wait, longStoreRetry) {
		err := e.tryChange(one)
		switch verb := (*VerbError)(nil); {
		case err == nil:
			return nil
		case errors.As(err, &verb), errors.Is(err, ErrNoTenant), e.closing.Load(), one.sanction.Ended(time.Now()):
			return err
		}
		e.log.Warn("a module's sanction is not stored yet", "tenant", t.name, "sanction", one.sanction.ID, "error", err)
		select {
		case <-time.After(wait):
		case <-e.dying.Done():
			return err
		}
	}
}

func (e *Engine) tryChange(one *task) error {
	ctx, cancel := context.WithTimeout(e.dying, storeTime)
	defer cancel()
	s := &one.sanction
	if one.pardon {
		_, err := e.RemoveSanction(ctx, s.Tenant, s.ID, s.Module)
		return err
	}
	_, err := e.SetSanction(ctx, *s)
	return err
}

// holdNow makes a change of a sanction hold on this node until the store has it. Without a client
// of the tenant on this node, the change is left to the store. A nil task does nothing.
func (t *tenant) holdNow(one *task) {
	if one == nil || !one.isSanction() {
		return
	}
	s := &t.sanctions
	s.mu.Lock()
	needed := s.users > 0
	s.mu.Unlock()
	switch {
	case !needed:
	case one.pardon:
		s.list.Remove(one.sanction.ID)
	default:
		s.list.Override(one.sanction)
	}
}

// remove removes a member from a room, or closes a connection, for a module.
func (e *Engine) remove(t *tenant, r *hook.Removal) {
	ctx, cancel := e.completing(e.dying, t)
	defer cancel()
	c := call{Do: callClose, Reason: r.Reason}
	if r.Room != "" {
		c.Do, c.Room = callLeave, r.Room
	}
	err := e.onConnection(ctx, t.name, r.Connection, c)
	switch {
	case err == nil:
		e.stats.removals.Add(1)
		e.log.Info("a module removed a client", "tenant", t.name, "module", r.Module, "connection", r.Connection, "room", r.Room, "reason", r.Reason)
	case NotMember(err), errors.Is(err, ErrNoConnection), errors.Is(err, cluster.ErrNoNode): // it has gone
	default:
		e.stats.emitsDropped.Add(1)
		e.log.Warn("a module's removal failed", "tenant", t.name, "module", r.Module, "connection", r.Connection, "room", r.Room, "error", err)
	}
}
