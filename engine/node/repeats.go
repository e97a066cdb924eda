package node

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"
)

// maxLogText is the number of bytes of a text in a log record. An error may contain what a
// client, a module or Redis has sent.
const maxLogText = 4 << 10

// bounded cuts a text that is too long for a log record.
func bounded(text string) string {
	if len(text) <= maxLogText {
		return text
	}
	end := maxLogText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}

// Bounds of repeats.
const (
	repeatTime  = 10 * time.Second // time in which equal failures are logged once
	maxFailures = 256              // number of different failures that are remembered; further ones count as one failure
)

// repeatsHandler is a log handler that leaves out failures that repeat: records at level warn or error
// with an attribute "error" whose message and error equal those of a record of the last 10 seconds.
// The next record that it passes has the attribute "repeated", the number of records that were
// left out.
type repeatsHandler struct {
	slog.Handler
	failures *failures
}

// failures remembers the failures of the last repeatTime.
type failures struct {
	mu   sync.Mutex
	seen map[failure]*repeated
}

type failure struct{ message, err string }

type repeated struct {
	since time.Time // when the failure was logged last
	times int       // number of records that were left out since then
}

// Handle implements slog.Handler.
func (h repeatsHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	f := failure{message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			f.err = a.Value.String()
		}
		return f.err == ""
	})
	if f.err == "" {
		return h.Handler.Handle(ctx, r)
	}
	left, log := h.failures.add(f, r.Time)
	if !log {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", left))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h repeatsHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeatsHandler{h.Handler.WithAttrs(attrs), h.failures}
}

// WithGroup implements slog.Handler.
func (h repeatsHandler) WithGroup(name string) slog.Handler {
	return repeatsHandler{h.Handler.WithGroup(name), h.failures}
}

// add reports whether to log a failure now. left is the number of its records that were left out since the last one.
func (s *failures) add(f failure, now time.Time) (left int, log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[f] == nil && len(s.seen) >= maxFailures {
		s.forget(now)
	}
	if s.seen[f] == nil && len(s.seen) >= maxFailures {
		f = failure{} // one entry for all others
	}
	r := s.seen[f]
	switch {
	case r == nil:
		if s.seen == nil {
			s.seen = map[failure]*repeated{}
		}
		s.seen[f] = &repeated{since: now}
		return 0, true
	case now.Sub(r.since) < repeatTime:
		r.times++
		return 0, false
	}
	left = r.times
	*r = repeated{since: now}
	return left, true
}

// forget drops the failures that were not logged for repeatTime.
func (s *failures) forget(now time.Time) {
	for f, r := range s.seen {
		if now.Sub(r.since) >= repeatTime {
			delete(s.seen, f)
		}
	}
}
