package node

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
)

// logHandler returns the handler of a node's log. It replaces secrets, cuts long texts, and logs a fault that
// repeats once in ten seconds.
func logHandler(h slog.Handler, redactor *atomic.Pointer[strings.Replacer]) slog.Handler {
	return redactingHandler{repeatsHandler{h, new(failures)}, redactor}
}

// redactingHandler is a log handler that replaces secret values of ${...} in the records of all
// loggers, including those of modules; see [config.Config.LogRedactor]. It cuts long texts. Each
// record costs a pass over its texts.
type redactingHandler struct {
	slog.Handler
	redactor *atomic.Pointer[strings.Replacer] // redactor for the configuration in use
}

// Handle implements slog.Handler.
func (h redactingHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, bounded(h.redactor.Load().Replace(r.Message)), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h redactingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return redactingHandler{h.Handler.WithAttrs(clean), h.redactor}
}

// WithGroup implements slog.Handler.
func (h redactingHandler) WithGroup(name string) slog.Handler {
	return redactingHandler{h.Handler.WithGroup(name), h.redactor}
}

func (h redactingHandler) attr(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindGroup:
		var all []slog.Attr
		for _, one := range a.Value.Group() {
			all = append(all, h.attr(one))
		}
		a.Value = slog.GroupValue(all...)
	case slog.KindString, slog.KindAny:
		text := a.Value.String()
		if clean := bounded(h.redactor.Load().Replace(text)); clean != text {
			a.Value = slog.StringValue(clean)
		}
	}
	return a
}
