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

// Poller waits for the sockets of streams that rest. A nil Poller watches none.
//
// The sockets stay with Go's own poller too, which serves writes, and reads in
// the midst of a message. The epoll instance is a file of that poller itself: no
// thread is held up in epoll_wait.
type Poller struct {
	epoll *os.File
	fd    int

	mu      sync.Mutex
	streams []*rest // by file descriptor
	last    uint32  // generation that was given
}

// NewPoller makes a poller; Run starts it. It is nil, without an error, where
// streams are to have goroutines, or the system has no epoll.
func NewPoller(r Reading) (*Poller, error) {
	if r != Polled {
		return nil, nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else os.NewFile would not poll it
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Poller{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd}, nil
}

// Watch has s rest in p. It is called before the first Rest. A stream that p
// cannot watch, such as one of TLS, rests in a goroutine of its own.
func (p *Poller) Watch(s *Stream) {
	if p == nil || s.out.raw == nil {
		return
	}
	r := &s.rest
	var err error
	raw := s.out.raw.Control(func(fd uintptr) {
		r.fd = int32(fd)
		p.know(r)
		err = p.control(unix.EPOLL_CTL_ADD, r, unix.EPOLLONESHOT)
	})
	switch {
	case raw != nil: // it has ended already
	case err != nil:
		p.forget(r)
	default:
		r.poller = p
	}
}

// know gives r the generation that tells it from a stream whose socket had the
// same number.
func (p *Poller) know(r *rest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.streams) <= int(r.fd) {
		p.streams = append(p.streams, nil)
	}
	p.streams[r.fd] = r
	p.last++
	r.generation = p.last
}

// forget is called before the socket is closed: another one may then have its
// number. epoll forgets the socket itself.
func (p *Poller) forget(r *rest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams[r.fd] = nil
}

// arm has the next event wake s, one that has come already included.
func (p *Poller) arm(s *Stream) error {
	var err error
	// In Control the socket cannot be closed: what is armed is no other one.
	raw := s.out.raw.Control(func(uintptr) {
		err = p.control(unix.EPOLL_CTL_MOD, &s.rest, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLONESHOT)
	})
	return errors.Join(raw, err)
}

func (p *Poller) control(op int, r *rest, events uint32) error {
	return unix.EpollCtl(p.fd, op, int(r.fd), &unix.EpollEvent{Events: events, Fd: r.fd, Pad: int32(r.generation)})
}

// Run wakes streams until ctx ends, and then closes p. All that p watches must
// have ended by then: nothing wakes a stream that is left. It is called once.
func (p *Poller) Run(ctx context.Context) error {
	if p == nil {
		<-ctx.Done()
		return nil
	}
	defer p.epoll.Close()
	defer context.AfterFunc(ctx, func() { p.epoll.SetReadDeadline(past) })()
	raw, err := p.epoll.SyscallConn()
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
		for _, e := range events[:n] {
			p.wake(e)
		}
	}
}

// wake wakes the stream of an event, if the socket is still the same.
func (p *Poller) wake(e unix.EpollEvent) {
	p.mu.Lock()
	r := p.streams[e.Fd]
	p.mu.Unlock()
	if r != nil && r.generation == uint32(e.Pad) {
		r.wakeUp()
	}
}
