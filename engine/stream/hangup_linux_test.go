package stream

import (
	"net"
	"testing"
	"time"
)

// TestHungUp checks that HungUp is true after the client closes, half closes or resets
// its side, with and without unread bytes, and false before.
func TestHungUp(t *testing.T) {
	for name, leave := range map[string]func(c *net.TCPConn){
		"closed":            func(c *net.TCPConn) { c.Close() },
		"half closed":       func(c *net.TCPConn) { c.CloseWrite() },
		"reset":             func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"with unread bytes": func(c *net.TCPConn) { c.Write([]byte("unread")); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, client := pair(t, "")
			client.Write([]byte("x"))
			if s.HungUp() {
				t.Error("HungUp is true before the client closes")
			}
			leave(client)
			for end := time.Now().Add(10 * time.Second); !s.HungUp(); { // the kernel needs a moment
				if time.Now().After(end) {
					t.Fatal("HungUp is false after the client closed")
				}
			}
		})
	}
}
