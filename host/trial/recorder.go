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

// Filter says which calls are recorded; "" is any.
type Filter struct {
	Tenant, Room, Module string
	Text                 bool   // what was said is recorded as it is
	By                   string // who records: recordings of one name share MostOfOne bytes
	Admin                bool   // has room also where others left none
}

func (f *Filter) wants(module string, ev *hook.Event) bool {
	name, _, _ := strings.Cut(module, "@")
	return (f.Room == "" || f.Room == ev.Room) && (f.Module == "" || f.Module == name)
}

// Bounds of the lines that wait for readers, in bytes. A line that several recordings
// wait for counts for each of them.
const (
	MostOfRecording = 4 << 20  // of one recording, and of one line
	MostOfOne       = 8 << 20  // of all recordings by one
	MostOfNode      = 32 << 20 // of all recordings; MostOfOne of them are kept for Filter.Admin
)

// Recorder records what the modules of a running host are asked and answer. Its
// methods may be called concurrently.
//
// While nobody records it costs nothing, and a call that no recording wants costs a
// look at the recordings of its tenant, without allocating. A call that is wanted is
// encoded once for all recordings with the same Filter.Text, on its own goroutine; one
// for which no recording has room is not encoded.
type Recorder struct {
	host  *host.Host
	space space

	mu    sync.Mutex // guards changes of tapes
	tapes atomic.Pointer[tapes]
}

// tapes are the recordings under way, by tenant; those of "" want any. They do not
// change.
type tapes map[string][]*tape

// NewRecorder makes a recorder of the host's modules.
func NewRecorder(h *host.Host) *Recorder { return &Recorder{host: h} }

// Record gives each call that fits to f, as a line of JSON with its newline, until ctx
// ends or f fails, whose error it returns. f must not change or keep the line, which
// others may be reading.
//
// While f takes long, calls wait for it within the bounds above; those beyond are left
// out, and a line {"lost":N} in their place says how many they were.
func (r *Recorder) Record(ctx context.Context, filter Filter, f func(line []byte) error) error {
	t := &tape{Filter: filter, space: &r.space, ready: make(chan struct{}, 1)}
	r.change(func(all tapes) { all[t.Tenant] = append(all[t.Tenant][:len(all[t.Tenant]):len(all[t.Tenant])], t) })
	defer t.end()
	defer r.change(func(all tapes) { all.remove(t) })
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

// change puts a changed copy of the recordings in their place.
func (r *Recorder) change(f func(tapes)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := tapes{}
	if now := r.tapes.Load(); now != nil {
		for tenant, list := range *now {
			next[tenant] = list
		}
	}
	f(next)
	r.tapes.Store(&next)
	if len(next) == 0 {
		r.host.Trace(nil)
	} else {
		r.host.Trace(r)
	}
}

func (all tapes) remove(t *tape) {
	var rest []*tape
	for _, other := range all[t.Tenant] {
		if other != t {
			rest = append(rest, other)
		}
	}
	if all[t.Tenant] = rest; len(rest) == 0 {
		delete(all, t.Tenant)
	}
}

// each gives the recordings that want the call, until f is false.
func (r *Recorder) each(module string, ev *hook.Event, f func(*tape) bool) {
	all := r.tapes.Load()
	if all == nil {
		return
	}
	for _, list := range [2][]*tape{(*all)[""], (*all)[ev.Tenant]} {
		for _, t := range list {
			if t.wants(module, ev) && !f(t) {
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
	r.each(module, ev, func(*tape) bool {
		t = new(host.Trace)
		return false
	})
	return t
}

// End implements [host.Tracer].
func (r *Recorder) End(t *host.Trace) {
	size := 0
	for _, text := range [2]bool{false, true} {
		var open []*tape
		r.each(t.Module, t.Event, func(tape *tape) bool {
			if tape.Text == text {
				if size == 0 {
					size = sizeOf(t)
				}
				if tape.reserve(size) {
					open = append(open, tape)
				}
			}
			return true
		})
		if len(open) == 0 {
			continue
		}
		line := lineOf(t, text)
		for _, tape := range open {
			tape.put(line, size)
		}
	}
}

// lineOf is the call as a line; nil: it cannot be one.
func lineOf(trace *host.Trace, text bool) []byte {
	var receivers []Connection
	for _, r := range trace.Said.Receivers {
		receivers = append(receivers, ConnectionOf(r.Profile, r.JoinedAt))
	}
	c := Recorded{At: time.Now().UnixMilli(), Module: trace.Module, Event: EventOf(trace.Event, receivers), Calls: trace.Calls, Answer: AnswerOf(trace)}
	if !text {
		c = redacted(c)
	}
	line, err := json.Marshal(&c)
	if err != nil { // a module's bytes that are no JSON: there are none, they were checked
		return nil
	}
	return append(line, '\n')
}

// tape is one recording under way: lines on the way from modules to its reader. The
// reader owns head.
type tape struct {
	Filter
	space *space
	ready chan struct{} // there is something to read
	head  int           // bytes of the line being read

	mu      sync.Mutex
	waiting []waiting
	bytes   int // of waiting, of the line being read, and reserved
	lost    int // calls left out after the last of waiting
	ended   bool
}

type waiting struct {
	lost int // calls left out before it
	line []byte
}

// reserve takes room for a line of about size bytes, which put gives back or uses. A
// call that finds none is left out.
func (t *tape) reserve(size int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended && t.bytes+size <= MostOfRecording && t.space.take(&t.Filter, size) {
		t.bytes += size
		return true
	}
	t.leaveOut()
	return false
}

// put has the line wait in the room that was reserved for it.
func (t *tape) put(line []byte, reserved int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= reserved
	t.space.give(t.By, reserved)
	if t.ended {
		return
	}
	if line == nil || t.bytes+len(line) > MostOfRecording || !t.space.take(&t.Filter, len(line)) {
		t.leaveOut()
		return
	}
	t.bytes += len(line)
	t.waiting = append(t.waiting, waiting{t.lost, line})
	t.lost = 0
	t.wake()
}

// leaveOut is called with mu held.
func (t *tape) leaveOut() {
	t.lost++
	t.wake()
}

func (t *tape) wake() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// next is the next line for the reader; done comes when it has been read.
func (t *tape) next() (line []byte, ok bool) {
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
		t.waiting = nil // with the memory of the lines before
		return nil, false
	}
	line = t.waiting[0].line
	t.waiting[0] = waiting{}
	t.waiting, t.head = t.waiting[1:], len(line)
	return line, true
}

// done gives back the room of what next gave.
func (t *tape) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes -= t.head
	t.space.give(t.By, t.head)
	t.head = 0
}

// end gives back all room but what is reserved, which put gives back.
func (t *tape) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.head
	for _, w := range t.waiting {
		n += len(w.line)
	}
	t.bytes -= n
	t.space.give(t.By, n)
	t.waiting, t.head, t.ended = nil, 0, true
}

// space counts the bytes that wait on the node, in all and by who records.
type space struct {
	mu   sync.Mutex
	all  int
	byOf map[string]int
}

func (s *space) take(f *Filter, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := MostOfNode
	if !f.Admin {
		most -= MostOfOne
	}
	by := f.By
	if s.all+n > most || s.byOf[by]+n > MostOfOne {
		return false
	}
	if s.byOf == nil {
		s.byOf = map[string]int{}
	}
	s.all += n
	s.byOf[by] += n
	return true
}

func (s *space) give(by string, n int) {
	if n == 0 {
		return // nobody may have taken any
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
	if s.byOf[by] -= n; s.byOf[by] == 0 {
		delete(s.byOf, by)
	}
}

// Waiting is how many bytes wait for readers, at most MostOfNode.
func (r *Recorder) Waiting() int {
	r.space.mu.Lock()
	defer r.space.mu.Unlock()
	return r.space.all
}
