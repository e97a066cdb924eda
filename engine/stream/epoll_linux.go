package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// epoll waits until sockets are readable. The sockets are also in Go's poller, which
// serves writes and the reads within a message. The epoll instance itself is a file in
// Go's poller, so that no thread blocks in epoll_wait.
type epoll struct {
	file *os.File
	fd   int

	polling sync.Mutex // held by poll and close
	closed  bool       // under polling

	mu             sync.Mutex
	waiters        []*waiter // by file descriptor
	lastGeneration uint32
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // os.NewFile polls only such files
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &epoll{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}, nil
}

// add registers s and reports whether that succeeded; it fails for TLS. No event is
// delivered before arm.
func (e *epoll) add(s *Stream) bool {
	if s.out.raw == nil {
		return false
	}
	err := e.withFD(s, func(fd int32) error {
		e.register(&s.waiter, fd)
		return e.control(unix.EPOLL_CTL_ADD, &s.waiter, 0)
	})
	return err == nil
}

// arm makes the next event wake s. An event that has already happened wakes s too.
func (e *epoll) arm(s *Stream) error {
	return e.withFD(s, func(int32) error {
		return e.control(unix.EPOLL_CTL_MOD, &s.waiter, unix.EPOLLIN|unix.EPOLLRDHUP)
	})
}

// withFD calls f with the file descriptor of s, which stays open until f returns.
func (e *epoll) withFD(s *Stream, f func(fd int32) error) error {
	var err error
	return errors.Join(s.out.raw.Control(func(fd uintptr) { err = f(int32(fd)) }), err)
}

func (e *epoll) control(op int, w *waiter, events uint32) error {
	return unix.EpollCtl(e.fd, op, int(w.fd), &unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: w.fd, Pad: int32(w.generation)})
}

// register gives w a generation, which distinguishes it from an earlier stream with the
// same file descriptor.
func (e *epoll) register(w *waiter, fd int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.waiters) <= int(fd) {
		e.waiters = append(e.waiters, nil)
	}
	e.waiters[fd] = w
	e.lastGeneration++
	w.fd, w.generation = fd, e.lastGeneration
}

// forget drops w. Call it before the socket is closed, because its file descriptor may
// be reused afterwards. The kernel itself removes the socket from the epoll instance.
func (e *epoll) forget(w *waiter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiters[w.fd] = nil
}

// find returns the waiter of an event, or nil if its socket has been closed.
func (e *epoll) find(event unix.EpollEvent) *waiter {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.waiters[event.Fd]
	if w == nil || w.generation != uint32(event.Pad) {
		return nil
	}
	return w
}

func (e *epoll) close() {
	e.polling.Lock()
	defer e.polling.Unlock()
	e.closed = true
	e.file.Close()
}

// poll wakes the streams that are readable now. It does not wait.
func (e *epoll) poll(wake func(*waiter)) {
	if !e.polling.TryLock() {
		return // another goroutine polls
	}
	defer e.polling.Unlock()
	if e.closed {
		return
	}
	var events [64]unix.EpollEvent
	n, _ := unix.EpollWait(e.fd, events[:], 0) // run gets the error too
	e.wakeAll(events[:max(n, 0)], wake)
}

func (e *epoll) wakeAll(events []unix.EpollEvent, wake func(*waiter)) {
	for _, event := range events {
		if w := e.find(event); w != nil {
			wake(w)
		}
	}
}

// run wakes streams until ctx ends.
func (e *epoll) run(ctx context.Context, wake func(*waiter)) error {
	defer e.close()
	defer context.AfterFunc(ctx, func() { e.file.SetReadDeadline(past) })()
	raw, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		waited := raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != syscall.EINTR
		})
		switch {
		case errors.Is(waited, os.ErrDeadlineExceeded):
			return nil
		case waited != nil:
			return waited
		case err != nil:
			return fmt.Errorf("epoll: %w", err)
		}
		e.wakeAll(events[:n], wake)
	}
}
