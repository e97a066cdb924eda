package stream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// HungUp reports whether the client has closed its side or the connection is broken,
// even if there is unread data from the client. It does not wait.
func (s *Stream) HungUp() bool {
	c, ok := s.socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n == 1
	})
	return gone || err != nil // an error: this side is closed
}
