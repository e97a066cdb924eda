package engine

import (
	"sync"

	"github.com/mootchat/moot/engine/moderation"
)

// maxBacklog limits the tasks of a backlog, and maxAmendments the amendments of one module in it.
const (
	maxBacklog    = 1024
	maxAmendments = maxBacklog / 4
)

// backlog has the tasks of a tenant that wait or are being carried out, oldest first. The zero
// backlog is empty.
type backlog struct {
	mu      sync.Mutex
	order   []string         // keys
	tasks   map[string]*task // by key
	running bool             // a goroutine carries out the tasks
}

// put adds a task of the tenant, or replaces the task with the same key. A sanction of the task
// holds on this node from then on. ok is false if the backlog is full, or has maxAmendments amendments of the module. If start is true,
// the caller must start the goroutine that carries out the tasks.
func (b *backlog) put(t *tenant, key string, one *task) (start, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tasks == nil {
		b.tasks = map[string]*task{}
	}
	if b.tasks[key] == nil {
		if len(b.order) == maxBacklog || one.amend != nil && b.amendments(one.amend.Module) == maxAmendments {
			return false, false
		}
		b.order = append(b.order, key)
	}
	b.tasks[key] = one
	t.holdNow(one)
	start = !b.running
	b.running = true
	return start, true
}

// amendments returns the number of amendments of a module. The caller holds mu.
func (b *backlog) amendments(module string) (n int) {
	for _, one := range b.tasks {
		if one.amend != nil && one.amend.Module == module {
			n++
		}
	}
	return n
}

// first returns the oldest task, which stays in the backlog until done. If there is none it
// returns nil, and the goroutine ends.
func (b *backlog) first() *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 {
		b.order, b.tasks, b.running = nil, nil, false
		return nil
	}
	return b.tasks[b.order[0]]
}

// done removes the oldest task, unless another task has replaced it. If the store has refused the
// task, its sanction ends on this node.
func (b *backlog) done(t *tenant, one *task, refused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := b.order[0]
	if b.tasks[key] != one {
		return
	}
	delete(b.tasks, key)
	b.order = b.order[1:]
	if refused && !one.pardon {
		t.sanctions.list.Remove(one.sanction.ID)
	}
}

// holdAgain applies on this node again the waiting tasks about the sanctions of a change, which
// the node has just received: the tasks are later than the change.
func (b *backlog) holdAgain(t *tenant, c *moderation.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.tasks) == 0 {
		return
	}
	if c.All {
		for _, one := range b.tasks {
			t.holdNow(one)
		}
		return
	}
	for i := range c.Set {
		t.holdNow(b.tasks[c.Set[i].ID])
	}
	for _, id := range c.Removed {
		t.holdNow(b.tasks[id])
	}
}
