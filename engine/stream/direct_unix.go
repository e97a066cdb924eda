//go:build unix

package stream

import (
	"net"
	"syscall"
)

// direct writes to a socket without ever waiting. The zero direct writes
// nothing.
type direct struct {
	raw  syscall.RawConn
	step func(fd uintptr) bool // made once: a write allocates nothing
	p    []byte
	n    int
	err  error
}

func (d *direct) open(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // Write will say what is wrong
	}
	d.raw = raw
	d.step = func(fd uintptr) bool {
		for {
			d.n, d.err = syscall.Write(int(fd), d.p)
			if d.err != syscall.EINTR {
				return true // also when it would block: do not wait for it
			}
		}
	}
}

func (d *direct) tryWrite(p []byte) (int, error) {
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
