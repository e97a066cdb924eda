package nodetest

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Log collects the output of a server. The zero value is ready to use, and several goroutines may
// use it.
type Log struct {
	mu      sync.Mutex
	text    strings.Builder
	read    int           // end of the part that Await has searched
	changed chan struct{} // closed at the next write; nil: no goroutine waits
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return len(p), nil
}

// String returns the whole log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Await waits for a match of the pattern after the match of the previous call.
func (l *Log) Await(pattern *regexp.Regexp) error {
	return l.wait(pattern, nil, func(text string) bool {
		at := pattern.FindStringIndex(text[l.read:])
		if at != nil {
			l.read += at[1]
		}
		return at != nil
	})
}

// find waits for a match of the pattern anywhere, until done is closed.
func (l *Log) find(pattern *regexp.Regexp, done <-chan struct{}) (match []string, err error) {
	err = l.wait(pattern, done, func(text string) bool {
		match = pattern.FindStringSubmatch(text)
		return match != nil
	})
	return match, err
}

// wait waits until found is true. It calls found under the lock with the complete lines.
func (l *Log) wait(pattern *regexp.Regexp, done <-chan struct{}, found func(text string) bool) error {
	late := time.After(Deadline)
	for {
		l.mu.Lock()
		text := l.text.String()
		if found(text[:strings.LastIndexByte(text, '\n')+1]) {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-done:
			return fmt.Errorf("the server ended, and %s was not logged:\n%s", pattern, l)
		case <-late:
			return fmt.Errorf("%s was not logged:\n%s", pattern, l)
		}
	}
}
