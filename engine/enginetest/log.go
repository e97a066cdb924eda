package enginetest

import (
	"bytes"
	"log/slog"
	"sync"
)

// Log stores the lines of a logger. The zero Log is ready to use. Its methods may be called
// concurrently.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Logger returns a logger that writes to l, including debug messages.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
