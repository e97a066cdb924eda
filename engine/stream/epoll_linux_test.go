package stream

import (
	"testing"

	"golang.org/x/sys/unix"
)

// An event that was on its way when its socket ended does not reach the next
// socket of that number.
func TestEventOfAnEndedSocketWakesNobody(t *testing.T) {
	e, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	old, _ := pair(t, "")
	if !e.add(old) {
		t.Fatal("a TCP socket was not added")
	}
	event := unix.EpollEvent{Fd: old.rest.fd, Pad: int32(old.rest.generation)}
	if e.find(event) != &old.rest {
		t.Error("the event does not reach its socket")
	}
	e.forget(&old.rest)
	if e.find(event) != nil {
		t.Error("the event reaches a socket that has ended")
	}
	var next rest
	e.know(&next, old.rest.fd)
	if e.find(event) != nil {
		t.Error("the event reaches another socket")
	}
}
