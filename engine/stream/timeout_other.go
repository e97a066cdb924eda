//go:build !linux

package stream

import "net"

// setUserTimeout does nothing, so TCP's own timeout applies on this system.
func setUserTimeout(*net.TCPConn) {}
