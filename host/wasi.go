package host

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/mootchat/moot/host/meter"
	"github.com/mootchat/moot/host/wasi"
)

// wasiFunction is a function of WASI preview 1, as guests import it.
func wasiFunction(name string) (hostFunction, bool) {
	f, ok := wasi.Lookup(name)
	return hostFunction{
		Signature: meter.Signature{Params: f.Params, Results: f.Results},
		call:      func(in *instance, stack []uint64) { f.Call(in, in.mem, stack) },
		timed:     true,
	}, ok
}

// Charge implements [wasi.Guest].
func (in *instance) Charge(n uint32) { in.charge(n) }

// Sleep implements [wasi.Guest].
func (in *instance) Sleep(d time.Duration) { in.sleep(d) }

// Output implements [wasi.Guest].
func (in *instance) Output() *wasi.Output { return &in.output }

// Line implements [wasi.Guest]. Lines are logged together at the end of the call, because a panic of a runtime has
// about twenty.
func (in *instance) Line(_ wasi.Stream, text string) {
	in.words = append(append(in.words, text...), '\n')
	if over := len(in.words) - maxWords; over > 0 {
		in.words = append(in.words[:0], in.words[over:]...)
	}
}

// takeOutput returns the guest's output since the last call, with a line end; "" if there is none.
func (in *instance) takeOutput() string {
	if dropped := in.output.End(in); dropped > 0 {
		in.Line(wasi.Stderr, "and "+strconv.Itoa(dropped)+" lines more")
		in.output.Begin()
	}
	if len(in.words) == 0 {
		return ""
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(in.words), "?"))
	in.words = in.words[:0]
	if text == "" {
		return ""
	}
	return in.generation.program.Locate(text) + "\n"
}

// logOutput writes a guest's output to the log.
func (in *instance) logOutput(level slog.Level, text string) {
	g := in.generation
	if in.tracing != nil {
		in.tracing.line(strings.ToLower(level.String()), strings.TrimSpace(text))
	}
	room := ""
	if in.event != nil {
		room = in.event.Room
	}
	g.host.line(level, g.counters, strings.TrimSpace(g.program.Locate(text)), "module", in.label, "hook", in.hook.String(), "tenant", g.binding.tenant, "room", room)
}
