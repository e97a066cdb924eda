package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
)

// Filter selects the calls of a recording; "" selects all.
type Filter struct {
	Tenant, Room, Module string
	Text                 bool   // texts are not redacted
	By                   string // name of the key: its recordings share MaxKeyBytes
	Admin                bool   // may use the bytes that are kept for the admin
}

func (f *Filter) selects(module string, ev *hook.Event) bool {
	name, _, _ := strings.Cut(module, "@")
	return (f.Room == "" || f.Room == ev.Room) && (f.Module == "" || f.Module == name)
}

// Limits of the lines that wait for readers, in bytes. A line that several recordings wait for counts for each of them.
const (
	MaxRecordingBytes = 4 << 20  // of one recording, and of one line
	MaxKeyBytes       = 8 << 20  // of all recordings of one key
	MaxNodeBytes      = 32 << 20 // of all recordings; MaxKeyBytes of them are kept for Filter.Admin
)

// Recorder records the calls of the modules of a running host. Its methods may be called concurrently.
//
// Without recordings it costs nothing. For a call that no recording selects, the cost is a search in the recordings of
// its tenant, without an allocation. A selected call is encoded once for all recordings with the same Filter.Text, on
// the goroutine of the call; if no recording has bytes left for it, it is not encoded.
type Recorder struct {
	host   *host.Host
	budget byteBudget

	mu         sync.Mutex // held to change recordings
	recordings atomic.Pointer[recordings]
}

// recordings are those in progress, by tenant; "" is any tenant. A value is immutable.
type recordings map[string][]*recording

// NewRecorder returns a recorder of the modules of h.
func NewRecorder(h *host.Host) *Recorder { return &Recorder{host: h} }

// Record calls f for each call that filter selects, with a line of JSON that ends with a newline. It returns when ctx
// ends, or with the error of f when f fails. f must not change or keep the line, because other readers may use it.
//
// While f is busy, lines wait within the limits above. Calls over a limit are dropped, and a line {"lost":N} in their
// place has their number.
func (r *Recorder) Record(ctx context.Context, filter Filter, f func(line []byte) error) error {
	t := &recording{Filter: filter, budget: &r.budget, ready: make(chan struct{}, 1)}
	r.change(func(all recordings) { all[t.Tenant] = append(all[t.Tenant][:len(all[t.Tenant]):len(all[t.Tenant])], t) })
	defer t.end()
	defer r.change(func(all recordings) { all.remove(t) })
	for {
		line, ok := t.next()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-t.ready:
			}
			continue
		}
		if err := f(line); err != nil {
			return err
		}
		t.done()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// change replaces the recordings by a copy that f has changed.
func (r *Recorder) change(f func(recordings)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := recordings{}
	if now := r.recordings.Load(); now != nil {
		for tenant, list := range *now {
			next[tenant] = list
		}
	}
	f(next)
	r.recordings.Store(&next)
	if len(next) == 0 {
		r.host.Trace(nil)
	} else {
		r.host.Trace(r)
	}
}

func (all recordings) remove(t *recording) {
	var rest []*recording
	for _, other := range all[t.Tenant] {
		if other != t {
			rest = append(rest, other)
		}
	}
	if all[t.Tenant] = rest; len(rest) == 0 {
		delete(all, t.Tenant)
	}
}

// each calls f for each recording that selects the call, until f returns false.
func (r *Recorder) each(module string, ev *hook.Event, f func(*recording) bool) {
	all := r.recordings.Load()
	if all == nil {
		return
	}
	for _, list := range [2][]*recording{(*all)[""], (*all)[ev.Tenant]} {
		for _, t := range list {
			if t.selects(module, ev) && !f(t) {
				return
			}
		}
		if ev.Tenant == "" {
			return
		}
	}
}

// Begin implements [host.Tracer].
func (r *Recorder) Begin(module string, ev *hook.Event) (t *host.Trace) {
	if ev == nil {
		return nil
	}
	r.each(module, ev, func(*recording) bool {
		t = new(host.Trace)
		return false
	})
	return t
}

// End implements [host.Tracer].
func (r *Recorder) End(t *host.Trace) {
	size := 0
	for _, text := range [2]bool{false, true} {
		var open []*recording
		r.each(t.Module, t.Event, func(rec *recording) bool {
			if rec.Text == text {
				if size == 0 {
					size = sizeOf(t)
				}
				if rec.reserve(size) {
					open = append(open, rec)
				}
			}
			return true
		})
		if len(open) == 0 {
			continue
		}
		line := lineOf(t, text)
		for _, rec := range open {
			rec.put(line, size)
		}
	}
}

// lineOf encodes a call; nil if that is not possible.
func lineOf(trace *host.Trace, text bool) []byte {
	var receivers []Connection
	for _, r := range trace.Answer.Receivers {
		receivers = append(receivers, ConnectionOf(r.Profile, r.JoinedAt))
	}
	c := Recorded{At: time.Now().UnixMilli(), Module: trace.Module, Event: EventOf(trace.Event, receivers), Calls: trace.Calls, Answer: AnswerOf(trace)}
	if !text {
		c = redacted(c)
	}
	line, err := json.Marshal(&c)
	if err != nil { // not possible: the JSON of modules was checked
		return nil
	}
	return append(line, '\n')
}

// recording is a recording in progress. Only its reader uses head.
type recording struct {
	Filter
	budget *byteBudget
	ready  chan struct{} // has an element if there may be a line
	head   int           // bytes of the line that is being read

	mu      sync.Mutex
	waiting []waiting
	bytes   int // reserved, of waiting, and of the line that is being read
	lost    int // calls dropped after the last of waiting
	ended   bool
}

type waiting struct {
	lost int // calls dropped before it
	line []byte
}

// reserve reserves bytes for a line, for put. If there are too few left, it drops the call.
func (t *recording) reserve(size int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && t.bytes+size <= MaxRecordingBytes && t.budget.take(&t.Filter, size) {
		t.bytes += size
		return true
	}
	t.drop()
	return false
}

// put queues a line for which bytes were reserved; nil drops the call.
func (t *recording) put(line []byte, reserved int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= reserved
	t.budget.release(t.By, reserved)
	if t.ended {
		return
	}
	if line == nil || t.bytes+len(line) > MaxRecordingBytes || !t.budget.take(&t.Filter, len(line)) {
		t.drop()
		return
	}
	t.bytes += len(line)
	t.waiting = append(t.waiting, waiting{t.lost, line})
	t.lost = 0
	t.wake()
}

// drop counts a dropped call. The caller holds mu.
func (t *recording) drop() {
	t.lost++
	t.wake()
}

func (t *recording) wake() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// next returns the next line. The reader calls done when it has read it.
func (t *recording) next() (line []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lost := &t.lost
	if len(t.waiting) > 0 {
		lost = &t.waiting[0].lost
	}
	if *lost > 0 {
		line, *lost = fmt.Appendf(nil, "{\"lost\":%d}\n", *lost), 0
		return line, true
	}
	if len(t.waiting) == 0 {
		t.waiting = nil // frees the array
		return nil, false
	}
	line = t.waiting[0].line
	t.waiting[0] = waiting{}
	t.waiting, t.head = t.waiting[1:], len(line)
	return line, true
}

// done releases the bytes of the line that next has returned.
func (t *recording) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= t.head
	t.budget.release(t.By, t.head)
	t.head = 0
}

// end releases all bytes but those reserved, which put releases.
func (t *recording) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.head
	for _, w := range t.waiting {
		n += len(w.line)
	}
	t.bytes -= n
	t.budget.release(t.By, n)
	t.waiting, t.head, t.ended = nil, 0, true
}

// byteBudget counts the bytes that wait on the node, in total and by key.
type byteBudget struct {
	mu    sync.Mutex
	all   int
	byKey map[string]int
}

func (s *byteBudget) take(f *Filter, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := MaxNodeBytes
	if !f.Admin {
		most -= MaxKeyBytes
	}
	by := f.By
	if s.all+n > most || s.byKey[by]+n > MaxKeyBytes {
		return false
	}
	if s.byKey == nil {
		s.byKey = map[string]int{}
	}
	s.all += n
	s.byKey[by] += n
	return true
}

func (s *byteBudget) release(by string, n int) {
	if n == 0 {
		return // there may be no entry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
	if s.byKey[by] -= n; s.byKey[by] == 0 {
		delete(s.byKey, by)
	}
}

// Waiting returns the bytes that wait for readers, at most MaxNodeBytes.
func (r *Recorder) Waiting() int {
	r.budget.mu.Lock()
	defer r.budget.mu.Unlock()
	return r.budget.all
}
