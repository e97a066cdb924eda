//go:build linux || darwin || freebsd

package host

import "golang.org/x/sys/unix"

// region is address space outside of Go's heap: untouched pages use no memory, growth does not
// copy, and free returns all memory to the system at once.
type region struct{ b []byte }

func reserve(max uint64) (region, error) {
	b, err := unix.Mmap(-1, 0, int(max), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return region{b}, err
}

// grow makes the first size bytes usable; nil if the system refused.
func (r *region) grow(size uint64) []byte {
	if size > 0 && unix.Mprotect(r.b[:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
		return nil
	}
	return r.b[:size:size]
}

func (r *region) free() {
	if r.b != nil {
		_ = unix.Munmap(r.b) // fails only if r.b is not a mapping
		r.b = nil
	}
}
