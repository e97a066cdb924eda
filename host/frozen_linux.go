package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// frozen is a memory that does not change, in a sealed file in memory. Memories map it privately: a page that they only
// read is shared by all of them. If the system has no such files, it is in Go's heap, and memories copy it.
type frozen struct {
	bytes []byte
	file  int // -1: none
}

// freeze copies a memory, into a file if that is wanted and possible.
func freeze(memory []byte, mapped bool) (frozen, error) {
	if !mapped {
		return frozen{bytes.Clone(memory), -1}, nil
	}
	fd, err := unix.MemfdCreate("moot-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil { // for example forbidden by a filter of system calls
		return frozen{bytes.Clone(memory), -1}, nil
	}
	f := frozen{file: fd}
	if err := f.write(memory); err != nil {
		_ = unix.Close(fd)
		return frozen{}, err
	}
	return f, nil
}

// write writes the pages that are not zero, seals the file and maps it.
func (f *frozen) write(memory []byte) error {
	if err := unix.Ftruncate(f.file, int64(len(memory))); err != nil {
		return fmt.Errorf("size of an image: %w", err)
	}
	for at := 0; at < len(memory); at += pageSize {
		page := memory[at:min(at+pageSize, len(memory))]
		if isZero(page) {
			continue
		}
		if n, err := unix.Pwrite(f.file, page, int64(at)); err != nil || n != len(page) {
			return fmt.Errorf("write an image: %d of %d bytes: %w", n, len(page), err)
		}
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(f.file), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal an image: %w", err)
	}
	var err error
	f.bytes, err = unix.Mmap(f.file, 0, len(memory), unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// mapped reports whether memories share the pages of f.
func (f *frozen) mapped() bool { return f.file >= 0 }

// close frees the memory. Mappings of the file stay as they are.
func (f *frozen) close() {
	if f.file >= 0 {
		_ = unix.Munmap(f.bytes) // cannot fail
		_ = unix.Close(f.file)
	}
	f.bytes = nil
}

// load makes f the beginning of a region of which nothing is in use.
func (r *region) load(f *frozen) error {
	if f.file < 0 {
		return r.copy(f)
	}
	_, err := unix.MmapPtr(f.file, 0, unsafe.Pointer(&r.b[0]), uintptr(len(f.bytes)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return err
}

// restore gives the pages of a range back to the system: the range has the bytes of the file again, and zeros where there
// is no file. It returns false, and changes nothing, if the system refuses.
func (r *region) restore(from, to uint64) bool {
	return unix.Madvise(r.b[from:to], unix.MADV_DONTNEED) == nil
}

// clear makes a range zero whose pages are of no file, and gives the pages back to the system.
func (r *region) clear(from, to uint64) {
	if !r.restore(from, to) {
		clear(r.b[from:to])
	}
}

// pagemap shows which pages of a private mapping were written to: those are no longer pages of the file.
type pagemap struct{ file *os.File }

// Bits of an entry of /proc/PID/pagemap.
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	pageOfFile  = 1 << 61
)

// openPagemap returns nil if the system has no pagemap, or if it does not show such pages.
func openPagemap() *pagemap {
	file, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil
	}
	p := &pagemap{file}
	if !p.works() {
		_ = file.Close()
		return nil
	}
	return p
}

func (p *pagemap) close() {
	if p != nil {
		_ = p.file.Close()
	}
}

// works checks the pagemap with a mapping of which one page is read, one is written to, and one is not touched.
func (p *pagemap) works() bool {
	image := make([]byte, 4*pageSize)
	image[0], image[pageSize] = 1, 1
	f, err := freeze(image, true)
	if err != nil || f.file < 0 {
		return false
	}
	defer f.close()
	r, err := reserve(uint64(len(image)))
	if err != nil {
		return false
	}
	defer r.free()
	if r.load(&f) != nil || r.b[0] != 1 {
		return false
	}
	r.b[pageSize+1] = 2
	var found []int
	err = p.each(r.b, func(at int) { found = append(found, at) })
	return err == nil && slices.Equal(found, []int{pageSize})
}

// each calls f with the offset of each page of b that was written to, or that is of no file. The order is ascending.
func (p *pagemap) each(b []byte, f func(at int)) error {
	const chunk = 512
	var entries [8 * chunk]byte
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) / int64(pageSize)
	total := len(b) / pageSize
	for at := 0; at < total; at += chunk {
		n := min(chunk, total-at)
		if _, err := p.file.ReadAt(entries[:8*n], 8*(first+int64(at))); err != nil {
			return fmt.Errorf("pagemap: %w", err)
		}
		for i := range n {
			if e := binary.NativeEndian.Uint64(entries[8*i:]); e&(pagePresent|pageSwapped) != 0 && e&pageOfFile == 0 {
				f((at + i) * pageSize)
			}
		}
	}
	return nil
}
