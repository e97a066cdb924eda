package host

import (
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/abi"
)

// Tracer observes calls of modules, for recordings, replays and trials. Its methods are called concurrently, during every call.
type Tracer interface {
	// Begin is called before a module is called, and before an instance starts; then ev is nil. The returned Trace
	// records the call. For most calls Begin should return nil, which records nothing.
	Begin(module string, ev *hook.Event) *Trace

	// End is called after the call, with the completed Trace of Begin; if the module asks a service, after the call with the last
	// answer, or when that call fails to begin. It is not called if the module is called again with fewer receivers, or if the
	// event ends while the module waits for an answer.
	End(t *Trace)
}

// Trace is one call of a module.
type Trace struct {
	// Replay answers a host function in place of the host; if it is nil or returns false, the host answers. size is the size of the
	// guest's buffer.
	Replay func(function, key string, size int) (HostCall, bool)

	Module string      // module@sha256#revision
	Event  *hook.Event // a copy from before the call; nil: an instance starts

	Calls []HostCall // of functions whose answer does not depend on the event alone
	Asks  []AskCall  // of external services, before the answer
	Lines []Line     // that the module logged or wrote; the last is a note if some are left out
	kept  int        // bytes of both

	Answer Answer
	Kind   string // of the failure, as in logs; "": none
	Err    error
	Time   time.Duration
	Fuel   uint64 // used; roughly instructions
	Memory int    // of the instance, in bytes
}

// Receiver is a receiver of a message in a call.
type Receiver struct {
	Profile  *hook.Profile // nil: hidden
	JoinedAt int64
}

// HostCall is a call of a host function with its answer.
type HostCall struct {
	Function string `json:"function"`
	Key      string `json:"key,omitempty"`
	Result   int64  `json:"result"`
	Bytes    []byte `json:"bytes,omitempty"` // written into the guest's memory
}

// AskCall is a question to an external service, with the answer or the reason why there is none.
type AskCall struct {
	Name    string
	Body    json.RawMessage // of the question; nil: none
	Status  int             // of the answer; 0: there is none
	Answer  json.RawMessage // nil: none
	Failure ask.Kind        // "": the service has answered, or Busy is set
	Busy    time.Duration   // the time after which it may be asked again; 0: it was asked
}

// Line is a line of a module's log.
type Line struct{ Level, Text string }

// Answer is the answer of a module. Zero fields were not set.
type Answer struct {
	Verdict int32 // abi.Allow, ...
	Code    uint32
	Reason  string
	Variant Variant
	Room    string
	From    string
	SentAt  int64
	Reply   json.RawMessage
	TTL     time.Duration // of a hold; 0: the tenant's default
	Effects []hook.Effect

	Receivers []Receiver // at say; for a class, one of its receivers
	Verdicts  []byte     // after abi.PerReceiver, one for each receiver
	Variants  []Variant
}

// Variant is a rewrite of a message.
type Variant struct {
	Message *wire.Message // nil: unchanged
	Extra   json.RawMessage
}

// maxTraced limits the calls and lines of one trace, in bytes. Without it only the time of a guest would limit them.
const maxTraced = 1 << 20

// keeps reports whether there is room for another call or line of n bytes. The first one without room is replaced by a note.
func (t *Trace) keeps(n int) bool {
	const each = 128 // memory of the entry itself
	full := t.kept > maxTraced
	if t.kept += n + each; t.kept > maxTraced && !full {
		t.Lines = append(t.Lines, Line{"warn", "what it called and said besides is not kept: it is more than " + strconv.Itoa(maxTraced) + " bytes"})
	}
	return t.kept <= maxTraced
}

func (t *Trace) called(c HostCall) {
	if t.keeps(len(c.Key) + len(c.Bytes)) {
		t.Calls = append(t.Calls, c)
	}
}

func (t *Trace) asked(c AskCall) {
	if t.keeps(len(c.Body) + len(c.Answer)) {
		t.Asks = append(t.Asks, c)
	}
}

// Answered returns the number of answers of services with which the module was called.
func (t *Trace) Answered() (n int) {
	for i := range t.Asks {
		if t.Asks[i].Status != 0 {
			n++
		}
	}
	return n
}

func (t *Trace) line(level, text string) {
	if t.keeps(len(text)) {
		t.Lines = append(t.Lines, Line{level, text})
	}
}

// Trace sets the tracer of all calls from now on; nil: none.
func (h *Host) Trace(t Tracer) {
	if t == nil {
		h.tracer.Store(nil)
		return
	}
	h.tracer.Store(&t)
}

// trace returns the trace for the call that begins; nil if it is not traced.
func (h *Host) trace(module string, ev *hook.Event) *Trace {
	tracer := h.tracer.Load()
	if tracer == nil {
		return nil
	}
	t := (*tracer).Begin(module, ev)
	if t != nil {
		t.Module = module
		if ev != nil {
			asked := *ev
			asked.Waiter = nil
			t.Event = &asked
		}
	}
	return t
}

// traced ends a trace. answer adds the module's answer, if nothing failed.
func (in *instance) traced(f *failure, answer func(*Answer)) {
	t := in.tracing
	if t == nil {
		return
	}
	in.pauseTrace()
	if answer != nil {
		answer(&t.Answer)
	}
	in.generation.host.endTrace(t, f)
}

// pauseTrace ends the part of a trace that belongs to one call, and returns the trace; nil if the call is not traced.
func (in *instance) pauseTrace() *Trace {
	t := in.tracing
	if t == nil {
		return nil
	}
	if text := in.takeOutput(); text != "" {
		in.logOutput(slog.LevelInfo, text)
	}
	in.tracing = nil
	t.Time += time.Duration(now() - in.began)
	t.Memory = int(in.mem.Size())
	return t
}

// endTrace ends a trace; f is nil if nothing has failed.
func (h *Host) endTrace(t *Trace, f *failure) {
	if f != nil {
		t.Kind, t.Err = f.kind.String(), f.err
	}
	if tracer := h.tracer.Load(); tracer != nil {
		(*tracer).End(t)
	}
}

// tell returns an answer for a trace.
func (a *answer) tell(s *Answer, in *instance) {
	s.Verdict, s.Reason, s.Reply, s.TTL, s.Effects = a.code, a.reason, a.reply, a.ttl, a.effects
	s.Room, s.From, s.SentAt, s.Variant = a.rewrite.room, a.rewrite.from, a.rewrite.sentAt, a.rewrite.variant()
	if a.code == abi.Deny && !in.broken {
		s.Code = binary.LittleEndian.Uint32(in.memory()[in.buffer+abi.ResultCode:])
	}
}

// tell returns an answer of on_say for the units.
func (s *scratch) tell(code int32, units []unit, to *Answer) {
	to.Verdict = code
	for i := range units {
		to.Receivers = append(to.Receivers, Receiver{units[i].profile, units[i].joinedAt})
	}
	switch code {
	case abi.Rewritten:
		if len(s.variants) == 0 {
			return // failed
		}
		w := &s.variants[0]
		to.Room, to.From, to.SentAt, to.Variant = w.room, w.from, w.sentAt, w.variant()
	case abi.PerReceiver:
		to.Verdicts = append([]byte(nil), s.verdicts...)
		for i := range s.variants {
			to.Variants = append(to.Variants, s.variants[i].variant())
		}
	}
}

func (w *rewrite) variant() Variant {
	v := Variant{Extra: w.extra}
	if w.newMessage {
		m := w.message
		v.Message = &m
	}
	return v
}

// outside describes a host function whose answer does not depend on the event alone.
type outside struct {
	keyed bool // the first two parameters are a key
	// wrote returns where the function wrote its answer, and the size of the buffer; 0: nowhere.
	wrote func(args *[8]uint64, result int32) (p, n, size uint32)
}

var outsides = map[string]outside{
	abi.ImportNow:      {wrote: nothingWritten},
	abi.ImportRandom:   {wrote: writesRegion(0, 1)},
	abi.ImportRoomSize: {wrote: nothingWritten},
	abi.ImportRoomGet:  {keyed: true, wrote: given},
	abi.ImportKVGet:    {keyed: true, wrote: given},
	abi.ImportKVSet:    {keyed: true, wrote: nothingWritten},
	abi.ImportKVDel:    {keyed: true, wrote: nothingWritten},
	abi.ImportKVCAS:    {keyed: true, wrote: nothingWritten},
	abi.ImportRateTake: {keyed: true, wrote: nothingWritten},
	abi.ImportKVAdd:    {keyed: true, wrote: writesNumber(4)},
	"clock_time_get":   {wrote: writesNumber(2)},
	"random_get":       {wrote: writesRegion(0, 1)},
}

func nothingWritten(*[8]uint64, int32) (p, n, size uint32) { return 0, 0, 0 }

func writesRegion(p, n int) func(*[8]uint64, int32) (uint32, uint32, uint32) {
	return func(args *[8]uint64, result int32) (uint32, uint32, uint32) {
		if result != 0 {
			return 0, 0, uint32(args[n])
		}
		return uint32(args[p]), uint32(args[n]), uint32(args[n])
	}
}

func writesNumber(p int) func(*[8]uint64, int32) (uint32, uint32, uint32) {
	return func(args *[8]uint64, result int32) (uint32, uint32, uint32) {
		if result != 0 {
			return 0, 0, 8
		}
		return uint32(args[p]), 8, 8
	}
}

func given(args *[8]uint64, result int32) (p, n, size uint32) {
	size = uint32(args[3])
	if result < 0 || uint32(result) > size {
		return 0, 0, size
	}
	return uint32(args[2]), uint32(result), size
}

// watch makes traces record the answers of fn.
func watch(name string, fn hostFunction) hostFunction {
	o, known := outsides[name]
	if !known {
		return fn
	}
	answer := fn.call
	fn.call = func(in *instance, stack []uint64) {
		if in.tracing == nil {
			answer(in, stack)
			return
		}
		in.watched(name, o, answer, stack)
	}
	return fn
}

func (in *instance) watched(name string, o outside, answer func(*instance, []uint64), stack []uint64) {
	var args [8]uint64
	copy(args[:], stack)
	c := HostCall{Function: name}
	if o.keyed {
		c.Key, _ = in.name(args[0], args[1], maxKey)
	}
	if replay := in.tracing.Replay; replay != nil {
		_, _, size := o.wrote(&args, 0)
		if r, ok := replay(name, c.Key, int(size)); ok {
			in.replayed(o, &args, r, stack)
			in.tracing.called(r)
			return
		}
	}
	answer(in, stack)
	c.Result = int64(int32(stack[0]))
	if name == abi.ImportNow {
		c.Result = int64(stack[0])
	}
	if p, n, _ := o.wrote(&args, int32(c.Result)); n > 0 {
		if b, ok := in.mem.Read(p, n); ok {
			c.Bytes = append([]byte(nil), b...)
		}
	}
	in.tracing.called(c)
}

// replayed gives the guest a recorded answer, after it has checked the buffer again.
func (in *instance) replayed(o outside, args *[8]uint64, r HostCall, stack []uint64) {
	stack[0] = uint64(r.Result)
	if r.Function != abi.ImportNow {
		result(stack, int32(r.Result))
	}
	p, n, size := o.wrote(args, int32(r.Result))
	if n == 0 {
		return
	}
	in.charge(n)
	if uint32(len(r.Bytes)) != n || n > size || !in.mem.Write(p, r.Bytes) {
		result(stack, abi.BadPointer)
	}
}
