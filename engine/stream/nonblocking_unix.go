//go:build unix

package stream

import (
	"net"
	"syscall"
)

// nonblocking writes the bytes that a socket accepts without blocking. The zero value
// writes nothing.
type nonblocking struct {
	raw  syscall.RawConn
	fd   int32
	step func(fd uintptr) bool // made once, so that a write allocates nothing
	p    []byte
	n    int
	err  error
}

func (d *nonblocking) open(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // Write returns the error
	}
	if raw.Control(func(fd uintptr) { d.fd = int32(fd) }) != nil {
		return
	}
	d.raw = raw
	d.step = func(fd uintptr) bool {
		for {
			d.n, d.err = syscall.Write(int(fd), d.p)
			if d.err != syscall.EINTR {
				return true // also for EAGAIN: do not wait
			}
		}
	}
}

// descriptor returns the descriptor of the socket. ok is false if tryWrite writes nothing.
func (d *nonblocking) descriptor() (fd int32, ok bool) { return d.fd, d.raw != nil }

func (d *nonblocking) tryWrite(p []byte) (int, error) {
	if d.raw == nil || len(p) == 0 {
		return 0, nil
	}
	d.p = p
	err := d.raw.Write(d.step)
	d.p = nil
	switch {
	case err != nil:
		return 0, err
	case d.err == syscall.EAGAIN:
		return 0, nil
	case d.err != nil:
		return 0, d.err
	}
	return d.n, nil
}
