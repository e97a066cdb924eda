package stage

import (
	"strings"
	"sync"
)

// lastLines keeps the last lines of a log, for error messages.
type lastLines struct {
	mu      sync.Mutex
	lines   []string
	awaited string        // the text that a caller of next waits for; "": none
	came    chan struct{} // closed when a line with the text comes
}

func (l *lastLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line); len(l.lines) > 50 {
		l.lines = l.lines[1:]
	}
	if l.awaited != "" && strings.Contains(line, l.awaited) {
		close(l.came)
		l.awaited = ""
	}
}

// next returns a channel that is closed after a line that contains text.
func (l *lastLines) next(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited, l.came = text, make(chan struct{})
	return l.came
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
