package host

import (
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/mootchat/moot/host/meter"
)

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
	first   bool        // it starts, as the first instance of its module: see memory
	refused error       // why it could not grow as far as its own limit; nil: it could
}

// newLinear makes a memory of min bytes that may grow to max bytes.
func newLinear(b *budget, min, max uint64, first bool) (*linear, error) {
	if err := b.claim(int64(min), first); err != nil {
		return nil, err
	}
	r, err := reserve(max)
	if err != nil {
		b.give(int64(min))
		return nil, fmt.Errorf("reserve %d bytes: %w", max, err)
	}
	l := &linear{budget: b, region: r, size: min, max: max, fixed: min == max, first: first}
	if l.region.grow(min) == nil {
		l.Free()
		return nil, fmt.Errorf("the system refused %d bytes of memory", min)
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
	if err := l.budget.claim(more, l.first); err != nil {
		l.refused = err
		return nil
	}
	b := l.region.grow(size)
	if b == nil {
		l.refused = fmt.Errorf("the system refused %d bytes of memory", more)
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

// fill copies data into a new memory, and gives others their turn now and then: nothing can stop a copy, not even the
// garbage collector, and each page is accessed for the first time.
func (l *linear) fill(data []meter.Data) {
	const step = 64 << 10
	b := l.bytes()
	copied := 0
	for _, d := range data {
		for at := 0; at < len(d.Bytes); {
			n := copy(b[int(d.Offset)+at:], d.Bytes[at:min(at+step, len(d.Bytes))])
			at += n
			if copied += n; copied >= step {
				copied = 0
				runtime.Gosched()
			}
		}
	}
}

// bytes is what the guest has grown into. It is the guest's: a call may move it.
func (l *linear) bytes() []byte { return l.region.b[:l.size] }

// full reports whether what the guest may grow into is nearly used up.
func (l *linear) full() bool { return !l.fixed && l.size > l.max/4*3 }

// short reports whether that may be why the guest failed.
func (l *linear) short() bool { return l.refused != nil || l.full() }

// Free implements experimental.LinearMemory. A second call does nothing.
func (l *linear) Free() {
	l.budget.give(int64(l.size))
	l.size, l.max = 0, 0
	l.region.free()
}
