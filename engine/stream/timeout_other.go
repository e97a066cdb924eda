//go:build !linux

package stream

import "net"

// setUserTimeout does nothing here: TCP's own patience counts.
func setUserTimeout(*net.TCPConn) {}
