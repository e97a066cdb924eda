package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/engine/hook"
)

// entry is a module's place in a tenant's chain, ready to be called.
type entry struct {
	Entry
	tenant     *tenant
	rooms      []*glob.Glob // nil: every room
	hooks      [hook.Action + 1]bool
	generation *generation
	breaker    *breaker
	label      string // module@sha256#revision
}

// setHooks sets the hooks of the entry, and checks that the module has them; nil means all hooks
// of the module.
func (e *entry) setHooks(wanted []hook.Hook) error {
	var errs []error
	for _, h := range wanted {
		if h < hook.Connect || h > hook.Action || !e.generation.hooks[hookOf(h)] {
			errs = append(errs, fmt.Errorf("the entry asks for the hook %v, which the module does not have", h))
			continue
		}
		e.hooks[h] = true
	}
	if len(wanted) == 0 {
		for h := hook.Connect; h <= hook.Action; h++ {
			e.hooks[h] = e.generation.hooks[hookOf(h)]
		}
	}
	return errors.Join(errs...)
}

// listens reports whether the entry is called for the room.
func (e *entry) listens(room string) bool {
	for _, g := range e.rooms {
		if g.Match(room) {
			return true
		}
	}
	return e.rooms == nil
}

// hookChain is a tenant's entries for one hook, in order.
type hookChain struct {
	all         []*entry
	hasPatterns bool // some entries have room patterns
	mu          sync.RWMutex
	matched     map[string][]*entry // by room; nil unless hasPatterns
}

// maxMatched limits the rooms for which a chain caches its entries.
const maxMatched = 4096

// in returns the chain for a room; "" for a hook without a room.
func (c *hookChain) in(room string) []*entry {
	if !c.hasPatterns {
		return c.all
	}
	c.mu.RLock()
	list, known := c.matched[room]
	c.mu.RUnlock()
	if known {
		return list
	}
	for _, e := range c.all {
		if e.listens(room) {
			list = append(list, e)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.matched) >= maxMatched {
		clear(c.matched)
	}
	c.matched[strings.Clone(room)] = list // room may be part of a client's whole frame
	return list
}

// index sorts the entries by hook and by action.
func (t *tenant) index() {
	t.actions = make(map[string]hook.ActionSpec)
	t.doers = make(map[string][]*entry)
	for _, e := range t.entries {
		for h := hook.Connect; h <= hook.Action; h++ {
			if !e.hooks[h] {
				continue
			}
			c := &t.chains[h]
			c.all = append(c.all, e)
			if e.rooms != nil && inRoom(h) {
				c.hasPatterns, c.matched = true, make(map[string][]*entry)
			}
		}
		if e.hooks[hook.Action] && e.Mode == Enforce {
			t.indexActions(e)
		}
	}
	for _, e := range t.entries { // actions that only shadows declare cannot be called
		if e.hooks[hook.Action] && e.Mode == Shadow {
			for name := range e.generation.actions {
				if t.doers[name] != nil {
					t.doers[name] = append(t.doers[name], e)
				}
			}
		}
	}
}

// indexActions assigns each action to the first entry of a module that declares it.
func (t *tenant) indexActions(e *entry) {
	for _, name := range slices.Sorted(maps.Keys(e.generation.actions)) {
		spec := e.generation.actions[name]
		switch first, taken := t.actions[name]; {
		case !taken:
			t.actions[name] = spec
			t.doers[name] = []*entry{e}
		case first.Module != spec.Module:
			t.clashes = append(t.clashes, clash{e, name})
		}
	}
}

// clash is an entry with an action that an entry of another module has declared.
type clash struct {
	entry  *entry
	action string
}

// inRoom reports whether a hook is about a room.
func inRoom(h hook.Hook) bool {
	switch h {
	case hook.Join, hook.Leave, hook.Say, hook.OnSayReceive:
		return true
	}
	return false
}

// chain returns the entries for the event.
func (t *tenant) chain(at hook.Hook, room, action string) []*entry {
	if at == hook.Action {
		return t.doers[action]
	}
	return t.chains[at].in(room)
}

// Asks implements [hook.Middleware].
func (h *Host) Asks(hook hook.Hook, tenant, room string) bool {
	r := h.running()
	if r == nil {
		return false
	}
	defer r.release()
	t := r.tenants[tenant]
	return t == nil || len(t.chains[hook].in(room)) > 0
}

// Actions implements [hook.Middleware].
func (h *Host) Actions(tenant string) map[string]hook.ActionSpec {
	r := h.current.Load()
	if r == nil || r.tenants[tenant] == nil {
		return nil
	}
	return r.tenants[tenant].actions
}
