//go:build !linux

package stream

import "net"

// setUserTimeout does nothing: this system keeps TCP's own timeout.
func setUserTimeout(*net.TCPConn) {}
