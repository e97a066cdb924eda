package fanout

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// polling calls the functions of [Writers.WhileWriting] between two slices of a large room.
// While writers keep all processors busy, Go's own poller looks for input only every 10 ms.
// A nil polling does nothing.
type polling struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*func()] // replaced with mu held, never changed in place
}

func (p *polling) do() {
	if p == nil {
		return
	}
	if list := p.list.Load(); list != nil {
		for _, f := range *list {
			(*f)()
		}
	}
	runtime.Gosched()
}

func (p *polling) change(f func(list []*func()) []*func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*func()
	if old := p.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = f(list)
	p.list.Store(&list)
}

// WhileWriting makes writers call poll repeatedly while they write to large rooms, until
// end is called. poll may be called from several goroutines at once. It checks whether
// clients have sent input, and must not wait. A call that has begun may return after end.
func (ws *Writers) WhileWriting(poll func()) (end func()) {
	ws.polling.change(func(list []*func()) []*func() { return append(list, &poll) })
	return func() {
		ws.polling.change(func(list []*func()) []*func() {
			return slices.DeleteFunc(list, func(f *func()) bool { return f == &poll })
		})
	}
}
