package engine

// turns are the streams of a writer that have a message to send, first come
// first served. Streams come and go all the time: its memory is used again.
type turns struct {
	list []*stream // list[next:] wait
	next int
}

func (t *turns) waiting() int { return len(t.list) - t.next }

func (t *turns) push(s *stream) {
	if len(t.list) == cap(t.list) && t.next > len(t.list)/2 {
		n := copy(t.list, t.list[t.next:])
		clear(t.list[n:])
		t.list, t.next = t.list[:n], 0
	}
	t.list = append(t.list, s)
}

// pop gives the next stream, nil if none waits.
func (t *turns) pop() *stream {
	if t.waiting() == 0 {
		return nil
	}
	s := t.list[t.next]
	t.list[t.next] = nil
	if t.next++; t.next == len(t.list) {
		t.list, t.next = t.list[:0], 0
	}
	return s
}
