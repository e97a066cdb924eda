package engine

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// meanwhile is what writers do between two slices of a large room: for as long as
// the room takes, they may keep every processor busy, and Go's own poller is not
// asked for 10 ms whether others have said something. The nil meanwhile does
// nothing.
type meanwhile struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*func()] // replaced with mu held, never changed
}

func (m *meanwhile) do() {
	if m == nil {
		return
	}
	if list := m.list.Load(); list != nil {
		for _, f := range *list {
			(*f)()
		}
	}
	runtime.Gosched()
}

func (m *meanwhile) change(f func(list []*func()) []*func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*func()
	if old := m.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = f(list)
	m.list.Store(&list)
}

// WhileWriting has look called again and again while much is written, from any
// goroutine and several at once, until end is called. A transport looks whether
// clients have said something, and must not wait. Calls that have begun may
// outlast end.
func (e *Engine) WhileWriting(look func()) (end func()) {
	e.meanwhile.change(func(list []*func()) []*func() { return append(list, &look) })
	return func() {
		e.meanwhile.change(func(list []*func()) []*func() {
			return slices.DeleteFunc(list, func(f *func()) bool { return f == &look })
		})
	}
}
