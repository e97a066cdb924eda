package stream

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newRing returns a ring, or nil where the kernel or a container forbids io_uring: a node then writes without it.
func newRing(t *testing.T) *Ring {
	t.Helper()
	r, err := NewRing(64)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Logf("io_uring cannot be tested here: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// pairs returns the descriptors of n connected pairs of sockets.
func pairs(t *testing.T, n int) (near, far []int32) {
	t.Helper()
	for range n {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		near, far = append(near, int32(pair[0])), append(far, int32(pair[1]))
		t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	}
	return near, far
}

func received(t *testing.T, fd int32) string {
	t.Helper()
	b := make([]byte, 1<<20)
	n, err := unix.Read(int(fd), b)
	if err != nil && err != unix.EAGAIN {
		t.Fatal(err)
	}
	return string(b[:max(n, 0)])
}

// TestARingSendsToEachSocket checks the bytes and the results of many calls, more than the ring has entries, from several threads.
func TestARingSendsToEachSocket(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 64)
	for round := range 100 {
		n := 1 + round%len(near)
		ps, results := make([][]byte, n), make([]int32, n)
		for i := range ps {
			ps[i] = fmt.Appendf(nil, "%d of round %d", i, round)
		}
		done := make(chan bool)
		go func() { r.Send(near[:n], ps, results); close(done) }()
		<-done
		for i, p := range ps {
			if got := received(t, far[i]); got != string(p) || results[i] != int32(len(p)) {
				t.Fatalf("socket %d has received %q, result %d, want %q", i, got, results[i], p)
			}
		}
	}
}

// TestResultsOfARing checks that a socket that is full, that accepts a part, that has no reader, or that is no socket does not
// change the others.
func TestResultsOfARing(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 5)
	full, part, lonely := near[1], near[2], near[3]
	large := bytes.Repeat([]byte("x"), 4<<20)
	for {
		if _, err := unix.Write(int(full), large[:4096]); err == unix.EAGAIN {
			break
		}
	}
	unix.Shutdown(int(far[3]), unix.SHUT_RD)
	fds := []int32{near[0], full, part, lonely, 1 << 20, near[4]}
	results := make([]int32, len(fds))
	r.Send(fds, [][]byte{[]byte("first"), large[:4096], large, []byte("nobody"), []byte("none"), []byte("last")}, results)
	accepted := results[2]
	if want := []int32{5, -int32(unix.EAGAIN), accepted, -int32(unix.EPIPE), -int32(unix.EBADF), 4}; !slices.Equal(results, want) {
		t.Errorf("the results are %v, want %v", results, want)
	}
	if got := received(t, far[2]); accepted <= 0 || int(accepted) >= len(large) || !bytes.HasPrefix(large, []byte(got)) {
		t.Errorf("the socket accepted %d of %d bytes", accepted, len(large))
	}
	if got := received(t, far[0]) + received(t, far[4]); got != "firstlast" {
		t.Errorf("the others have received %q", got)
	}
}

// TestARingThatTheKernelRefusesWrites checks that sends for which the kernel takes no submission are done with write(2).
func TestARingThatTheKernelRefusesWrites(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 3)
	fd := r.fd
	r.fd = int(near[0]) // io_uring_enter fails: this is no ring
	results := make([]int32, 3)
	r.Send(near, [][]byte{[]byte("a"), []byte("b"), []byte("c")}, results)
	r.fd = fd
	if got := received(t, far[0]) + received(t, far[1]) + received(t, far[2]); got != "abc" || !slices.Equal(results, []int32{1, 1, 1}) {
		t.Errorf("received %q, results %v", got, results)
	}
	r.Send(near, [][]byte{[]byte("d"), []byte("e"), []byte("f")}, results)
	if got := received(t, far[0]) + received(t, far[1]) + received(t, far[2]); got != "def" {
		t.Errorf("then received %q, results %v", got, results)
	}
}

// TestARingWhoseSendsDoNotFinishIsNotUsedAgain checks that nothing of a call, whose descriptors and memory may belong to others by then, is sent in
// a later one, if the kernel has taken a part of the sends, does not finish them and takes no others.
func TestARingWhoseSendsDoNotFinishIsNotUsedAgain(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 3)
	earlier, tail := []byte("earlier"), *r.sqTail
	r.entries[tail&r.sqMask] = submission{op: ringOpSend, fd: near[0], address: uint64(uintptr(unsafe.Pointer(&earlier[0]))), length: 7, message: unix.MSG_DONTWAIT}
	*r.sqTail = tail + 1
	fd := r.fd
	r.fd = int(near[0])                  // io_uring_enter fails: this is no ring
	r.enter(tail+1, 2, make([]int32, 2)) // of two sends the kernel has taken one
	r.fd = fd
	results := make([]int32, 3)
	r.Send(near, [][]byte{[]byte("a"), []byte("b"), []byte("c")}, results)
	for i, want := range []string{"a", "b", "c"} {
		if got := received(t, far[i]); got != want || results[i] != 1 {
			t.Errorf("socket %d has received %q, result %d", i, got, results[i])
		}
	}
}

// TestSentBytesAreNotOnAStack checks that bytes which the caller does not share are allocated: the kernel reads them by an address, and the stack
// of a goroutine may move before that.
func TestSentBytesAreNotOnAStack(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 1)
	b := make([]byte, 8)
	if n := testing.AllocsPerRun(10, func() {
		p, results := [8]byte{1, 2, 3}, [1]int32{}
		r.Send(near, [][]byte{p[:]}, results[:])
		syscall.Read(int(far[0]), b)
	}); n < 1 {
		t.Error("the bytes are on the stack")
	}
}

func TestSendsDoNotAllocate(t *testing.T) {
	r := newRing(t)
	if r == nil {
		return
	}
	near, far := pairs(t, 8)
	ps, results, b := make([][]byte, 8), make([]int32, 8), make([]byte, 64)
	for i := range ps {
		ps[i] = []byte("message")
	}
	if n := testing.AllocsPerRun(100, func() {
		r.Send(near, ps, results)
		for _, fd := range far {
			syscall.Read(int(fd), b)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestADescriptorStaysWhileItIsHeld checks that End releases the socket only after Free, and that nothing can hold it then.
func TestADescriptorStaysWhileItIsHeld(t *testing.T) {
	s, client := pair(t, "")
	fd, ok := s.Hold()
	if !ok {
		t.Fatal("the descriptor of an open stream cannot be held")
	}
	s.Close()
	client.Close()
	var ended sync.WaitGroup
	ended.Go(s.End)
	for {
		if again, ok := s.Hold(); !ok {
			break // End waits for Free
		} else if s.Free(); again != fd {
			t.Fatalf("descriptor %d, want %d", again, fd)
		}
	}
	if _, err := unix.Getpeername(int(fd)); err == unix.EBADF || err == unix.ENOTSOCK {
		t.Errorf("the descriptor was closed while it was held: %v", err)
	}
	s.Free()
	ended.Wait()
	if _, ok := s.Hold(); ok {
		t.Error("a released descriptor can be held")
	}
}
