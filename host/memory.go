package host

import (
	"fmt"
	"runtime"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/mootchat/moot/host/meter"
)

// linear is the memory of one instance. Its address space is reserved at once and never moves; the bytes that the guest
// uses are charged to the budget. linear is its own allocator and is made before wazero asks for it, because wazero
// panics if an allocator refuses the first pages.
type linear struct {
	budget  *budget
	region  region
	size    uint64
	max     uint64
	fixed   bool        // the minimum is the maximum
	late    func() bool // reports whether the call that grows it has no time left; nil: it always has time
	first   bool        // its instance starts, as the first one of its module: see memory
	maker   *pool       // the pool for which its instance starts; nil: none
	refused error       // the error of the last refused growth within max; nil: none
	beside  int64       // bytes of the instance outside of the memory that the budget is charged with
	limited bool        // a growth over max was refused
	image   *image      // whose state it had at first; nil: none
	shrinks bool        // the next Reallocate sets the size to smaller
	smaller uint64
	ready   uint64 // bytes behind size that are zero, in memory, and charged
}

// maxReady is the largest number of bytes that a reset memory keeps behind its size. An instance that starts for the next
// entry grows as the one before did, and the system takes much longer for a new page than for clearing an old one.
const maxReady = 1 << 20

// newLinear makes a memory of min bytes that may grow to max bytes. See claim for maker.
func newLinear(b *budget, min, max uint64, first bool, maker *pool) (*linear, error) {
	l, err := newRegion(b, min, max, max, first, maker)
	if err != nil {
		return nil, err
	}
	if l.region.grow(min) == nil {
		l.Free()
		return nil, fmt.Errorf("the system refused %d bytes of memory", min)
	}
	l.touch(0)
	return l, nil
}

// chargeBeside charges the budget with n bytes that the instance takes outside of the memory.
func (l *linear) chargeBeside(n int64) error {
	if err := l.budget.claim(n, l.first, l.maker); err != nil {
		return err
	}
	l.beside = n
	return nil
}

// charged returns the bytes that the budget is charged with.
func (l *linear) charged() int64 { return int64(l.size+l.ready) + l.beside }

// newImaged makes a memory with the content of an image that may grow to max bytes. It reserves what the module may have in
// any entry, because the instance may go to an entry with more memory.
func newImaged(b *budget, im *image, max uint64, first bool, maker *pool) (*linear, error) {
	l, err := newRegion(b, im.size(), max, uint64(im.code.module.Memory.Max)<<16, first, maker)
	if err != nil {
		return nil, err
	}
	im.users.Add(1) // the caller is a user already
	l.image = im
	if err := l.region.load(&im.frozen); err != nil {
		l.Free()
		return nil, fmt.Errorf("load an image of %d bytes: %w", im.size(), err)
	}
	l.touchImage()
	return l, nil
}

// newRegion claims size bytes and reserves more, none of which can be used yet.
func newRegion(b *budget, size, max, reserved uint64, first bool, maker *pool) (*linear, error) {
	if err := b.claim(int64(size), first, maker); err != nil {
		return nil, err
	}
	r, err := reserve(reserved)
	if err != nil {
		b.give(int64(size))
		return nil, fmt.Errorf("reserve %d bytes: %w", reserved, err)
	}
	return &linear{budget: b, region: r, size: size, max: max, fixed: size == max, first: first, maker: maker}, nil
}

// Allocate implements experimental.MemoryAllocator.
func (l *linear) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate implements experimental.LinearMemory. For a new instance, wazero asks for the module's initial memory, and
// takes that of the image, which may be larger.
func (l *linear) Reallocate(size uint64) []byte {
	switch {
	case l.shrinks:
		l.shrinks = false
		l.cut(l.smaller)
		return l.region.b[:l.size:l.size]
	case l.image != nil && size <= l.size:
		return l.region.b[:l.size:l.size]
	}
	l.limited = l.limited || size > l.max
	if size > l.max || size < l.size {
		return nil
	}
	if size <= l.size+l.ready {
		l.size, l.ready = size, l.size+l.ready-size
		return l.region.b[:size:size]
	}
	more := int64(size - l.size - l.ready)
	if err := l.budget.claim(more, l.first, l.maker); err != nil {
		l.refused = err
		return nil
	}
	b := l.region.grow(size)
	if b == nil {
		l.refused = fmt.Errorf("the system refused %d bytes of memory", more)
		l.budget.give(more)
		return nil
	}
	before := l.size + l.ready
	l.size, l.ready = size, 0
	l.touch(before)
	return b
}

// cut makes the memory smaller. What is behind its end becomes zero.
func (l *linear) cut(size uint64) {
	was := l.size
	l.size, l.ready = size, l.ready+was-size
	if l.ready <= maxReady {
		clear(l.region.b[size:was])
		return
	}
	l.budget.give(int64(l.ready))
	l.dropReady()
}

// dropReady gives the bytes behind the end back to the system. The caller has given them back to the budget.
func (l *linear) dropReady() {
	l.region.clear(l.size, l.size+l.ready)
	l.ready = 0
}

// The first touch of a page takes the system 0.5 to 2 us, in which nothing can stop the guest, so pages beyond a size are
// touched by the host. Pages below it take no memory until the guest uses them.
const (
	untouched       = 2 << 20       // of a memory that starts empty
	untouchedImaged = 2 * untouched // of a memory that starts from an image: instances of Go have 4 MiB, of which they use a few pages
)

// touch touches new pages, those from the given offset on, and yields to other goroutines regularly. It stops when the
// call has no time left: the guest asks for fuel right after it has grown, and is ended then.
func (l *linear) touch(from uint64) {
	const page, step = 4 << 10, 256 << 10
	least := uint64(untouched)
	if l.image != nil {
		least = untouchedImaged
	}
	b := l.bytes()
	for at := max(from, least); at < l.size; at += page {
		if at%step == 0 {
			runtime.Gosched()
			if l.late != nil && l.late() {
				return
			}
		}
		b[at] = 0
	}
}

// touchImage is touch for a memory that begins as an image: the first write to a page copies it, which takes longer.
func (l *linear) touchImage() {
	const step = 256 << 10
	b, was := l.bytes(), l.image.bytes
	for at := untouchedImaged; at < len(was); at += pageSize {
		if at%step == 0 {
			runtime.Gosched()
		}
		b[at] = was[at]
	}
}

// fill copies data into a new memory, and yields to other goroutines regularly: not even the garbage collector can stop
// a copy, and each page is accessed for the first time.
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

// bytes returns the current memory of the guest, which owns it.
func (l *linear) bytes() []byte { return l.region.b[:l.size] }

// full reports whether the memory is nearly as large as it may become.
func (l *linear) full() bool { return !l.fixed && l.size > l.max/4*3 }

// short reports whether a lack of memory may have caused a failure of the guest.
func (l *linear) short() bool { return l.refused != nil || l.full() }

// Free implements experimental.LinearMemory. A second call does nothing.
func (l *linear) Free() {
	l.budget.give(l.charged())
	l.size, l.ready, l.max, l.beside = 0, 0, 0, 0
	l.region.free()
	if l.image != nil {
		l.image.release()
		l.image = nil
	}
}
