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
