//go:build unix

package listen

import (
	"net"

	"golang.org/x/sys/unix"
)

func limit() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return uint64(r.Cur)
}

// readable reports whether a client waits to be accepted.
func readable(l *net.TCPListener) (ok bool) {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { // an error: the listener is closed
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		ok = n > 0 && err == nil
	})
	return ok
}
