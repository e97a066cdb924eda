//go:build !linux

package host

import (
	"bytes"
	"errors"
)

// frozen is a memory that does not change. Memories copy it.
type frozen struct{ bytes []byte }

func freeze(memory []byte, _ bool) (frozen, error) { return frozen{bytes.Clone(memory)}, nil }

func (*frozen) mapped() bool { return false }

func (f *frozen) close() { f.bytes = nil }

// load makes f the beginning of a region of which nothing is in use.
func (r *region) load(f *frozen) error { return r.copy(f) }

// restore is not available on this system.
func (*region) restore(_, _ uint64) bool { return false }

// clear makes a range zero.
func (r *region) clear(from, to uint64) { clear(r.b[from:to]) }

// pagemap is not available on this system.
type pagemap struct{}

func openPagemap() *pagemap { return nil }

func (*pagemap) close() {}

func (*pagemap) each([]byte, func(int)) error { return errors.New("no pagemap") }
