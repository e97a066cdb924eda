package host

import (
	"container/list"
	"runtime"
	"slices"
	"sync"
	"time"
)

// maxSpares is the maximum number of spare instances of a node.
const maxSpares = 64

// sparesOf returns the maximum number of spare instances of one module.
func sparesOf() int { return max(2, runtime.GOMAXPROCS(0)) }

// stealAfter is the time after which an idle instance may be bound to another entry. The entry that loses it is
// asleep then, as it would be some time later anyway. An entry that is called more often never loses its instance, so no
// tenant can make the calls of another one start instances again and again.
const stealAfter = 10 * time.Second

// stealSoon is stealAfter for an entry that wakes by a diff, which takes about 0.1 ms, if the module has more than manyAwake
// entries that are awake. So when many tenants wake, tenants that have become silent pass their instances on, which takes less time and memory
// than new instances.
const (
	stealSoon = 250 * time.Millisecond
	manyAwake = 32
)

// spares are instances that have been reset and belong to no entry. They use memory that all tenants share, and are the
// first to be closed when there is too little.
type spares struct {
	budget budget

	mu   sync.Mutex
	list []*instance // the least recently added first
}

// park resets the instance and keeps it as a spare one, or closes it.
func (in *instance) park() {
	im := in.linear.image
	if in.broken || im == nil || im.private || im != im.code.images.current.Load() {
		in.close()
		return
	}
	s := &in.generation.host.memory.awake.spares
	if s.budget.memory.over.Load() || s.full(im.code) || in.reset() != nil || !s.add(in) {
		in.close()
	}
}

// full reports whether a module has no room for another spare instance.
func (s *spares) full(c *code) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, in := range s.list {
		if in.linear.image.code == c {
			n++
		}
	}
	return n >= sparesOf()
}

// add adds a reset instance, unless there is no memory for it, and closes the oldest one if there are too many.
func (s *spares) add(in *instance) bool {
	l := in.linear
	if s.budget.take(l.charged(), false) != nil {
		return false
	}
	l.budget.give(l.charged())
	l.budget, in.mark = &s.budget, now()
	s.mu.Lock()
	s.list = append(s.list, in)
	crowded := len(s.list) > maxSpares
	s.mu.Unlock()
	if crowded {
		s.drop()
	}
	s.budget.memory.awake.arm()
	return true
}

// take returns a spare instance from the image; nil if there is none.
func (s *spares) take(im *image) *instance {
	return s.remove(func(list []*instance) int {
		for i, in := range slices.Backward(list) {
			if in.linear.image == im {
				return i
			}
		}
		return -1
	})
}

// remove removes the instance with the index that choose returns; nil if that is -1.
func (s *spares) remove(choose func([]*instance) int) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := choose(s.list)
	if i < 0 {
		return nil
	}
	in := s.list[i]
	s.list = slices.Delete(s.list, i, i+1)
	return in
}

// drop closes the oldest spare instance; false if there is none.
func (s *spares) drop() bool {
	in := s.remove(func(list []*instance) int { return min(len(list), 1) - 1 })
	if in != nil {
		in.close()
	}
	return in != nil
}

// dropAll closes the spare instances for which the condition holds.
func (s *spares) dropAll(condition func(*instance) bool) {
	for {
		in := s.remove(func(list []*instance) int { return slices.IndexFunc(list, condition) })
		if in == nil {
			return
		}
		in.close()
	}
}

func (s *spares) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// awakePools lists the pools of a module that have instances, about in the order in which they were last used. A pool that was used since
// it was added is put at the end when it comes to the front.
type awakePools struct {
	mu    sync.Mutex
	pools list.List
}

// note adds p if it has instances, and removes it otherwise.
func (s *awakePools) note(p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch awake := p.alive.Load() > 0; {
	case awake && p.place == nil:
		p.place = s.pools.PushBack(p)
	case !awake && p.place != nil:
		s.pools.Remove(p.place)
		p.place = nil
	}
}

// maxTries is the number of pools that one search for an idle instance looks at.
const maxTries = 8

// oldest returns a pool that was not used for stealAfter at time t, or for stealSoon if that is enough, and puts it at the end;
// nil if none is found.
func (s *awakePools) oldest(t int64) *pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range maxTries {
		front := s.pools.Front()
		if front == nil {
			return nil
		}
		p := front.Value.(*pool)
		s.pools.MoveToBack(front)
		idle := stealAfter
		if s.pools.Len() > manyAwake && p.diffed.Load() {
			idle = stealSoon
		}
		if t-p.used.Load() >= int64(idle) && p.hasIdle() {
			return p
		}
	}
	return nil
}

// steal takes an idle instance of the image from the pool of another entry and resets it; nil if there is none.
func (c *code) steal(im *image, t int64) *instance {
	p := c.awakePools.oldest(t)
	if p == nil {
		return nil
	}
	return p.takeIdle(im)
}
