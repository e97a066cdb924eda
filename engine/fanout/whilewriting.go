package fanout

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// polling calls the functions of [Writers.WhileWriting] between two slices of a large room:
// while writers keep every processor busy, Go's own poller is asked only every 10 ms
// whether clients have sent something. The nil polling does nothing.
type polling struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*func()] // replaced with mu held, never changed
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

// WhileWriting registers poll to be called again and again while much is written, from any
// goroutine and concurrently, until end is called. poll checks whether clients have sent
// something, and must not wait. Calls that have begun may outlast end.
func (ws *Writers) WhileWriting(poll func()) (end func()) {
	ws.polling.change(func(list []*func()) []*func() { return append(list, &poll) })
	return func() {
		ws.polling.change(func(list []*func()) []*func() {
			return slices.DeleteFunc(list, func(f *func()) bool { return f == &poll })
		})
	}
}
