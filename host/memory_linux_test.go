package host

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident returns the number of pages of b that have been touched.
func resident(t *testing.T, b []byte) (n int) {
	t.Helper()
	pages := make([]byte, len(b)>>12)
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); err != 0 {
		t.Fatal(err)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

// TestLargeMemoriesAreTouchedByTheHost checks that the host touches all pages beyond untouched, because the first
// touch of a page takes long, and that it stops when the call has no time left.
func TestLargeMemoriesAreTouchedByTheHost(t *testing.T) {
	const max = 64 << 20
	b := &budget{memory: newMemory(max)}
	for _, c := range []struct{ first, size uint64 }{{0, 1 << 20}, {0, 3 << 20}, {0, max}, {1 << 20, 8 << 20}, {3 << 20, 4 << 20}, {max, max}} {
		l, err := newLinear(b, c.first, max, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Reallocate(c.size)
		left := int(min(c.size, untouched) >> 12)
		if n, pages := resident(t, l.bytes()), int(c.size>>12); n != pages-left {
			t.Errorf("%d bytes grown to %d: %d of %d pages were touched, all but %d should be", c.first, c.size, n, pages, left)
		}
		l.Free()
	}
	l, err := newLinear(b, 0, max, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Free()
	asked := 0
	l.late = func() bool { asked++; return asked == 10 }
	l.Reallocate(max)
	if n := resident(t, l.bytes()); n != 9<<6 {
		t.Errorf("%d pages were touched in the time for %d", n, 9<<6)
	}
}

// TestARehearsedModuleHasFewPagesOfItsOwn checks that an instance of a module of Go that has rehearsed its start before the
// image was made has few pages when it has started, although its memory has grown, and none that is like that of the image.
func TestARehearsedModuleHasFewPagesOfItsOwn(t *testing.T) {
	for name, config := range map[string]string{
		"blocklist": `{"words":["darn","heck"]}`,
		"gate":      `{"rooms":["secure*"],"tokens":{"letmein":"member"}}`,
		"announcer": `{"join":"hello"}`,
	} {
		wasm, err := os.ReadFile("../guests/" + name + "/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		h, _ := start(t, Config{})
		swap(t, h, rulesOf(wasm, Entry{Config: []byte(config), Grants: []string{"emit", "properties:role"}}))
		l := instanceOf(t, h, "t").linear
		pages, same, zeros := 0, 0, make([]byte, pageSize)
		err = l.changed(false, func(at int) {
			pages++
			page, was := l.bytes()[at:at+pageSize], zeros
			if at < len(l.image.bytes) {
				was = l.image.bytes[at : at+pageSize]
			}
			if bytes.Equal(page, was) {
				same++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if pages == 0 || pages > 80 || same > 0 {
			t.Errorf("%s: %d pages of %d are its own, %d of them are like those of the image", name, pages, l.size/uint64(pageSize), same)
		}
	}
}
