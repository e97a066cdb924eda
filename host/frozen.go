package host

import (
	"errors"
	"os"
	"runtime"
)

// pageSize is the size of a page of the system in bytes. It divides the size of every memory of a guest.
var pageSize = os.Getpagesize()

// copy copies f to the beginning of the region. Pages of zeros are left out, and it yields to other goroutines.
func (r *region) copy(f *frozen) error {
	b := r.grow(uint64(len(f.bytes)))
	if b == nil {
		return errors.New("the system refused the memory")
	}
	for at := 0; at < len(b); at += pageSize {
		if at%(256<<10) == 0 {
			runtime.Gosched()
		}
		if was := f.bytes[at:min(at+pageSize, len(b))]; !isZero(was) {
			copy(b[at:], was)
		}
	}
	return nil
}
