package host

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// budget bounds the memory that all instances of a node can use together, or those of one
// tenant, whose budget is a part of that of all.
type budget struct {
	whose string  // in errors
	of    *budget // nil: of nobody
	limit atomic.Int64
	used  atomic.Int64
}

// take is nil, or the budget that has not so much left.
func (b *budget) take(n int64) *budget {
	if b.of != nil {
		if full := b.of.take(n); full != nil {
			return full
		}
	}
	if b.used.Add(n) > b.limit.Load() {
		b.used.Add(-n)
		b.of.give(n)
		return b
	}
	return nil
}

func (b *budget) give(n int64) {
	for ; b != nil; b = b.of {
		b.used.Add(-n)
	}
}

// linear is the memory of one instance. Its address space is reserved at once
// and never moves; what the guest has grown into is charged to the budget. It is
// its own allocator, and is made before wazero asks: an allocator that refuses
// the first pages makes wazero panic.
type linear struct {
	budget  *budget
	region  region
	size    uint64
	max     uint64
	fixed   bool        // it was made as large as it may become
	late    func() bool // whether the call that grows it has no time left; nil: it never is
	refused bool        // it could not grow as far as its own limit
}

func newLinear(b *budget, first, max uint64) (*linear, error) {
	if full := b.take(int64(first)); full != nil {
		return nil, fmt.Errorf("%s together may use %d bytes of memory, and %d more were asked for", full.whose, full.limit.Load(), first)
	}
	r, err := reserve(max)
	if err != nil {
		b.give(int64(first))
		return nil, fmt.Errorf("reserve %d bytes: %w", max, err)
	}
	l := &linear{budget: b, region: r, size: first, max: max, fixed: first == max}
	if l.region.grow(first) == nil {
		l.Free()
		return nil, fmt.Errorf("the system refused %d bytes of memory", first)
	}
	l.touch(0)
	return l, nil
}

// Allocate implements experimental.MemoryAllocator.
func (l *linear) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate implements experimental.LinearMemory.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.max || size < l.size {
		return nil
	}
	more := int64(size - l.size)
	if l.budget.take(more) != nil {
		l.refused = true
		return nil
	}
	b := l.region.grow(size)
	if b == nil {
		l.refused = true
		l.budget.give(more)
		return nil
	}
	before := l.size
	l.size = size
	l.touch(before)
	return b
}

// untouched is how much of a memory the guest may be the first to touch. The first touch of a page takes the system 0.5
// to 2 us, in which nothing can stop the guest: what is larger is touched here.
const untouched = 2 << 20

// touch touches the pages that are new, and begin at that many bytes, and gives others their turn now and then. It ends
// when there is no time left: a guest that has grown asks for fuel at once, and ends too.
func (l *linear) touch(from uint64) {
	const page, step = 4 << 10, 256 << 10
	b := l.bytes()
	for at := max(from, untouched); at < l.size; at += page {
		if at%step == 0 {
			runtime.Gosched()
			if l.late != nil && l.late() {
				return
			}
		}
		b[at] = 0
	}
}

// bytes is what the guest has grown into. It is the guest's: a call may move it.
func (l *linear) bytes() []byte { return l.region.b[:l.size] }

// full reports whether what the guest may grow into is nearly used up.
func (l *linear) full() bool { return !l.fixed && l.size > l.max/4*3 }

// short reports whether that may be why the guest failed.
func (l *linear) short() bool { return l.refused || l.full() }

// Free implements experimental.LinearMemory. A second call does nothing.
func (l *linear) Free() {
	l.budget.give(int64(l.size))
	l.size, l.max = 0, 0
	l.region.free()
}
