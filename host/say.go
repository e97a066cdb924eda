package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// say is one call of on_say for some units, which part describes. Its answer is in the scratch: verdict bytes and
// variants after PerReceiver, or the rewrite as the first variant after Rewritten. After errFewer the module must be
// called again with fewer units.
func (e *entry) say(s *scratch, units []unit, part []byte) (int32, *failure) {
	start := now()
	k, wait := e.breaker.admit(start)
	if s.ticket = k; wait > 0 {
		return 0, refused
	}
	if s.until <= start {
		return 0, &failure{Deadline, errLate}
	}
	p := e.generation.pool
	in, until, f := p.takeOrWake(s.ctx, start, s.until, s.limit)
	if f != nil {
		return 0, f
	}
	s.until = until
	code, f := in.say(e, s, units, part, until)
	p.put(in)
	return code, f
}

func (in *instance) say(e *entry, s *scratch, units []unit, part []byte, deadline int64) (int32, *failure) {
	in.begin(deadline, e.label, abi.Say, &s.event)
	in.timeout = int64(e.Timeout)
	in.units = units
	defer in.end()
	code, f := in.askReceivers(s, units, part)
	if f != nil && f.err == errFewer {
		in.tracing = nil // only the calls with fewer receivers are traced
	}
	in.traced(f, func(to *Answer) { s.tell(code, units, to) })
	return code, f
}

func (in *instance) askReceivers(s *scratch, units []unit, part []byte) (int32, *failure) {
	if f := in.pace(); f != nil {
		return 0, f
	}
	if f := in.writeFrame(abi.Say, &s.event, nil, nil, len(units), part); f != nil {
		if f.err == errFrame && in.fewer(f.kind, &s.event, len(units), len(part)) {
			f = &failure{f.kind, errFewer}
		}
		return 0, f
	}
	result, f := in.callHook(abi.Say, false)
	if f != nil {
		return 0, f
	}
	code := int32(result)
	if code == abi.PerReceiver && in.variants() > abi.MaxVariants && in.generation.batches.split(len(units)) {
		return 0, &failure{Protocol, errFewer}
	}
	if f = in.readAnswer(s, code, len(units)); f != nil {
		in.broken = true
	}
	return code, f
}

// fewer reports whether a frame that was too large, for the module or for all modules, may fit with fewer receivers.
func (in *instance) fewer(kind Kind, ev *hook.Event, n, part int) bool {
	room := in.capacity // the module has no larger buffer
	if kind == HostFault {
		room = abi.ExchangeMax
	}
	return in.generation.batches.fit(room, abi.HeaderSize+eventSize(ev, in.generation.sees.fields), n, part)
}

// variants returns the number of variants that the guest reports.
func (in *instance) variants() uint32 {
	return binary.LittleEndian.Uint32(in.memory()[in.buffer+abi.ResultVariantCount:])
}

// errFewer does not count as a failure of the module.
var errFewer = errors.New("to be asked about fewer at once")

// batches has the number of receivers with which a module can be called at once, as far as earlier calls have shown it.
type batches struct {
	most atomic.Int32 // receivers; 0: abi.MaxReceivers
	room atomic.Int64 // bytes of a frame; 0: abi.ExchangeMax
}

// split limits the batches so that each receiver can have its own variant; false if they were limited already.
func (b *batches) split(n int) bool {
	if n <= abi.MaxVariants {
		return false
	}
	b.most.Store(abi.MaxVariants)
	return true
}

// fit limits the frames to the module's exchange buffer; false if that does not help, with n receivers in a part of
// size bytes and with besides other bytes. A frame that was made before the limit was known is made again.
func (b *batches) fit(room, besides, n, part int) bool {
	for n > 1 && besides < room {
		old := b.room.Load()
		if old != 0 && old <= int64(room) {
			return int64(besides) < old && int64(besides+part) > old
		}
		if b.room.CompareAndSwap(old, int64(room)) {
			return true
		}
	}
	return false
}

// usual reports whether the batches of an audience fit.
func (b *batches) usual() bool { return b.most.Load() == 0 && b.room.Load() == 0 }

// fitting returns the end of the range of units with which the module can be called, in a frame with besides other
// bytes.
func (b *batches) fitting(units []unit, from, besides int) int {
	most, room := abi.MaxReceivers, abi.ExchangeMax
	if n := b.most.Load(); n > 0 {
		most = int(n)
	}
	if n := b.room.Load(); n > 0 {
		room = int(n)
	}
	if besides >= room {
		besides = 0 // a frame with one unit is too large: the call fails for all
	}
	return fitting(units, from, most, room-besides)
}

// readAnswer reads the results that belong to the return value.
func (in *instance) readAnswer(s *scratch, code int32, n int) *failure {
	s.variants, s.verdicts = s.variants[:0], s.verdicts[:0]
	switch code {
	case abi.Allow, abi.Deny, abi.Drop, abi.AllowEnd:
		return nil
	case abi.Rewritten:
		r := in.results()
		s.variants = append(s.variants, r.rewrite())
		r.warn(in.generation)
		return r.err
	case abi.PerReceiver:
		r := in.results()
		r.variants(s)
		r.warn(in.generation)
		if r.err == nil {
			r.verdicts(s, r.memory[int(in.buffer)+abi.HeaderSize+verdictsAt(n):][:n])
		}
		return r.err
	}
	return in.unknown(abi.Say, code)
}

// maxVariantBytes limits the variants of one call together.
const maxVariantBytes = abi.ExchangeMax

// variants reads the variants into the scratch.
func (r *results) variants(s *scratch) {
	at := uint64(binary.LittleEndian.Uint32(r.frame[abi.ResultVariants:]))
	count := uint64(binary.LittleEndian.Uint32(r.frame[abi.ResultVariantCount:]))
	if count > abi.MaxVariants || at+count*abi.VariantSize > uint64(len(r.memory)) {
		r.err = fail(Protocol, "variants: %d at %#x: more than %d, or not in its memory", count, at, abi.MaxVariants)
		return
	}
	size := 0
	for k := range count {
		record := r.memory[at+k*abi.VariantSize:][:abi.VariantSize]
		var w rewrite
		w.message, w.newMessage = r.message(record, abi.VariantMessage, abi.VariantKind)
		w.extra = r.extra(record, abi.VariantExtra)
		if size += len(w.message.Text) + len(w.extra); size > maxVariantBytes && r.err == nil {
			r.err = fail(Protocol, "variants: more than %d bytes", maxVariantBytes)
		}
		if r.err != nil {
			return
		}
		s.variants = append(s.variants, w)
	}
}

// verdicts copies the verdict bytes into the scratch. It reads them where the host has placed them, so that changes of
// the header by the guest have no effect.
func (r *results) verdicts(s *scratch, verdicts []byte) {
	s.verdicts = append(s.verdicts, verdicts...)
	clear(s.given[:])
	last := byte(0)
	for _, v := range s.verdicts {
		s.given[v] = true
		last = max(last, v)
	}
	if k := int(last) - abi.VerdictVariant; k >= len(s.variants) && k >= 0 {
		r.err = fail(Protocol, "receiver %d has variant %d of %d", bytes.IndexByte(s.verdicts, last), k, len(s.variants))
	}
}
