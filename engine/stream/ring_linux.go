package stream

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of io_uring, from the kernel's include/uapi/linux/io_uring.h.
const (
	ringCoopTaskrun = 1 << 8 // IORING_SETUP_COOP_TASKRUN, of Linux 5.19
	ringGetEvents   = 1 << 0 // IORING_ENTER_GETEVENTS
	ringOpSend      = 26     // IORING_OP_SEND

	ringOffSubmissions = 0
	ringOffCompletions = 0x8000000
	ringOffEntries     = 0x10000000
)

// ringParams is struct io_uring_params.
type ringParams struct {
	submissions, completions, flags, cpu, idle, features, wq uint32
	_                                                        [3]uint32
	sq                                                       struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// submission is struct io_uring_sqe.
type submission struct {
	op, flags uint8
	priority  uint16
	fd        int32
	offset    uint64
	address   uint64
	length    uint32
	message   uint32 // flags of send(2)
	user      uint64
	_         [24]byte
}

// completion is struct io_uring_cqe.
type completion struct {
	user   uint64
	result int32
	flags  uint32
}

// Ring is an io_uring that sends to several sockets with one system call. It implements [fanout.Ring].
//
// All sends have MSG_DONTWAIT: the kernel completes them while it takes them, on the calling thread. Therefore the ring needs no
// thread of its own, and the caller's goroutine need not stay on one.
type Ring struct {
	fd       int
	broken   bool // the kernel may still finish sends of an earlier call: each send is a write(2)
	mapped   [][]byte
	sending  [][]byte // of a call of Send: memory that a field refers to is not on a stack, which may move
	sqHead   *uint32  // written by the kernel
	sqTail   *uint32
	cqHead   *uint32
	cqTail   *uint32 // written by the kernel
	sqMask   uint32
	cqMask   uint32
	entries  []submission
	finished []completion
}

// NewRing returns a ring for at most size sends in one call. It returns an error if the kernel has no io_uring, forbids it to this
// process, as in many containers, or does not send with it.
func NewRing(size int) (*Ring, error) {
	params := ringParams{flags: ringCoopTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(size), uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &Ring{fd: int(fd)}
	if err := r.connect(&params); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.try(); err != nil {
		return nil, errors.Join(fmt.Errorf("io_uring does not send: %w", err), r.Close())
	}
	return r, nil
}

// connect maps the memory that the ring shares with the kernel.
func (r *Ring) connect(p *ringParams) error {
	sq, err := r.mmap(ringOffSubmissions, p.sq.array+p.submissions*4)
	if err != nil {
		return err
	}
	cq, err := r.mmap(ringOffCompletions, p.cq.cqes+p.completions*uint32(unsafe.Sizeof(completion{})))
	if err != nil {
		return err
	}
	entries, err := r.mmap(ringOffEntries, p.submissions*uint32(unsafe.Sizeof(submission{})))
	if err != nil {
		return err
	}
	word := func(b []byte, offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[offset])) }
	r.sqHead, r.sqTail, r.sqMask = word(sq, p.sq.head), word(sq, p.sq.tail), *word(sq, p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = word(cq, p.cq.head), word(cq, p.cq.tail), *word(cq, p.cq.mask)
	for i := range p.submissions { // entry i of the queue is always submission i
		*word(sq, p.sq.array+4*i) = i
	}
	r.entries = unsafe.Slice((*submission)(unsafe.Pointer(&entries[0])), p.submissions)
	r.finished = unsafe.Slice((*completion)(unsafe.Pointer(&cq[p.cq.cqes])), p.completions)
	return nil
}

func (r *Ring) mmap(offset int64, size uint32) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of io_uring: %w", err)
	}
	r.mapped = append(r.mapped, b)
	return b, nil
}

// Close releases the ring.
func (r *Ring) Close() error {
	var errs []error
	for _, b := range r.mapped {
		errs = append(errs, unix.Munmap(b))
	}
	r.mapped = nil
	return errors.Join(append(errs, unix.Close(r.fd))...)
}

// Send implements [fanout.Ring]. If the kernel does not take a send, for example because it has no memory, Send uses write(2) for it.
func (r *Ring) Send(fds []int32, ps [][]byte, results []int32) {
	if r.broken {
		for i, fd := range fds {
			results[i] = writeOnce(fd, ps[i])
		}
		return
	}
	r.sending = ps
	tail := *r.sqTail
	for i, fd := range fds {
		results[i] = -int32(unix.EIO) // until the kernel has finished it
		r.entries[(tail+uint32(i))&r.sqMask] = submission{op: ringOpSend, fd: fd, address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(ps[i])))),
			length: uint32(len(ps[i])), message: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, user: uint64(i)}
	}
	atomic.StoreUint32(r.sqTail, tail+uint32(len(fds)))
	left := r.enter(tail+uint32(len(fds)), len(fds), results)
	for i := len(fds) - left; i < len(fds); i++ {
		results[i] = writeOnce(fds[i], ps[i])
	}
	r.sending = nil
}

// enter gives the kernel the submissions up to tail, and waits until it has finished those that it has taken. It returns the number
// of the last submissions that the kernel has not taken.
func (r *Ring) enter(tail uint32, sends int, results []int32) (left int) {
	for done, refused := 0, false; ; {
		left = int(tail - atomic.LoadUint32(r.sqHead))
		done += r.collect(results)
		submit, wait := left, 0
		if left == 0 || refused {
			submit, wait = 0, sends-left-done
		}
		if submit == 0 && wait == 0 {
			break
		}
		taken, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), ringGetEvents, 0, 0)
		switch failed := errno != 0 && errno != unix.EINTR; {
		case failed && submit == 0: // cannot happen. The sends that are not finished have failed
			r.broken = true
			return 0
		case failed, errno == 0 && submit > 0 && taken == 0:
			refused = true
		}
	}
	atomic.StoreUint32(r.sqTail, tail-uint32(left))
	return left
}

// collect sets the results of the sends that the kernel has finished, and returns their number.
func (r *Ring) collect(results []int32) int {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for h := head; h != tail; h++ {
		c := r.finished[h&r.cqMask]
		results[c.user] = c.result
	}
	atomic.StoreUint32(r.cqHead, tail)
	return int(tail - head)
}

// writeOnce writes p to the socket without waiting, and returns the result as the ring does.
func writeOnce(fd int32, p []byte) int32 {
	n, err := syscall.Write(int(fd), p)
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return -int32(errno)
	}
	return int32(n)
}

// try sends through two pairs of sockets.
func (r *Ring) try() error {
	var fds, far []int32
	defer func() {
		for _, fd := range append(fds, far...) {
			unix.Close(int(fd))
		}
	}()
	for range 2 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		fds, far = append(fds, int32(pair[0])), append(far, int32(pair[1]))
	}
	results := make([]int32, len(fds))
	r.Send(fds, [][]byte{[]byte("one"), []byte("two")}, results)
	for i, want := range []string{"one", "two"} {
		b := make([]byte, 8)
		if results[i] < 0 {
			return syscall.Errno(-results[i])
		}
		n, err := unix.Read(int(far[i]), b)
		if err != nil {
			return err
		}
		if string(b[:n]) != want {
			return fmt.Errorf("a socket has received %q, not %q", b[:n], want)
		}
	}
	return nil
}
