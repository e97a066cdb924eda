package stream

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestEventOfAClosedSocketIsDropped checks that an event of a closed socket does not
// reach the next socket with the same file descriptor.
func TestEventOfAClosedSocketIsDropped(t *testing.T) {
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	old, _ := pair(t, "")
	if !e.add(old) {
		t.Fatal("a TCP socket was not added")
	}
	event := unix.EpollEvent{Fd: old.waiter.fd, Pad: int32(old.waiter.generation)}
	if e.find(event) != &old.waiter {
		t.Error("the event does not reach its own socket")
	}
	e.forget(&old.waiter)
	if e.find(event) != nil {
		t.Error("the event reaches a closed socket")
	}
	var next waiter
	e.register(&next, old.waiter.fd)
	if e.find(event) != nil {
		t.Error("the event reaches another socket")
	}
}
