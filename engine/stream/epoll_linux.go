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

// epoll waits for sockets that stay with Go's own poller too: that one serves
// writes, and reads in the midst of a message. The epoll instance is itself a
// file of Go's poller, so that no thread is held up in epoll_wait.
type epoll struct {
	file *os.File
	fd   int

	polling sync.Mutex // held by poll, and by who closes
	closed  bool       // under polling

	mu   sync.Mutex
	rest []*rest // by file descriptor
	last uint32  // generation that was given
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else os.NewFile would not poll it
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &epoll{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}, nil
}

// add reports whether s can be waited for, which TLS cannot. It is not before
// arm.
func (e *epoll) add(s *Stream) bool {
	if s.out.raw == nil {
		return false
	}
	err := e.on(s, func(fd int32) error {
		e.know(&s.rest, fd)
		return e.control(unix.EPOLL_CTL_ADD, &s.rest, 0)
	})
	return err == nil
}

// arm has the next event wake s, also if it has come already.
func (e *epoll) arm(s *Stream) error {
	return e.on(s, func(int32) error {
		return e.control(unix.EPOLL_CTL_MOD, &s.rest, unix.EPOLLIN|unix.EPOLLRDHUP)
	})
}

// on calls f while s cannot be closed: its number is no other socket's.
func (e *epoll) on(s *Stream, f func(fd int32) error) error {
	var err error
	return errors.Join(s.out.raw.Control(func(fd uintptr) { err = f(int32(fd)) }), err)
}

func (e *epoll) control(op int, r *rest, events uint32) error {
	return unix.EpollCtl(e.fd, op, int(r.fd), &unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: r.fd, Pad: int32(r.generation)})
}

// know gives r the generation that tells it from a stream whose socket had the
// same number.
func (e *epoll) know(r *rest, fd int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.rest) <= int(fd) {
		e.rest = append(e.rest, nil)
	}
	e.rest[fd] = r
	e.last++
	r.fd, r.generation = fd, e.last
}

// forget is called before the socket is closed: another one may then have its
// number. The system's side of it ends with the socket.
func (e *epoll) forget(r *rest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest[r.fd] = nil
}

// find is nil if the socket of the event is no longer the same.
func (e *epoll) find(event unix.EpollEvent) *rest {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rest[event.Fd]
	if r == nil || r.generation != uint32(event.Pad) {
		return nil
	}
	return r
}

func (e *epoll) close() {
	e.polling.Lock()
	defer e.polling.Unlock()
	e.closed = true
	e.file.Close()
}

// poll wakes streams whose clients have said something, without waiting.
func (e *epoll) poll(wake func(*rest)) {
	if !e.polling.TryLock() {
		return // another does it
	}
	defer e.polling.Unlock()
	if e.closed {
		return
	}
	var events [64]unix.EpollEvent
	n, _ := unix.EpollWait(e.fd, events[:], 0) // run will hear of an error
	e.wakeAll(events[:max(n, 0)], wake)
}

func (e *epoll) wakeAll(events []unix.EpollEvent, wake func(*rest)) {
	for _, event := range events {
		if r := e.find(event); r != nil {
			wake(r)
		}
	}
}

// run wakes streams until ctx ends.
func (e *epoll) run(ctx context.Context, wake func(*rest)) error {
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
