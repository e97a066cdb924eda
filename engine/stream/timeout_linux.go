package stream

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is the maximum time that sent bytes may stay unacknowledged. By default,
// Linux notices a client without a network only after 15 minutes.
const userTimeout = 20 * time.Second

func setUserTimeout(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
