package host

import (
	"encoding/binary"

	"github.com/mootchat/moot/host/abi"
)

// say is one call of on_say, for some units. What it answers is left in the scratch:
// verdict bytes and variants after PerReceiver, the rewriting as the first variant
// after Rewritten.
func (e *entry) say(s *scratch, units []unit, deadline int64) (int32, *failure) {
	start := now()
	if e.breaker.open(start) {
		return 0, &failure{Open, errOpen}
	}
	if deadline <= start {
		return 0, &failure{Deadline, errLate}
	}
	p := e.generation.pool
	in, f := p.take(s.ctx, start, deadline)
	if f != nil {
		return 0, f
	}
	code, f := in.say(e, s, units, deadline)
	p.put(in)
	return code, f
}

func (in *instance) say(e *entry, s *scratch, units []unit, deadline int64) (int32, *failure) {
	in.begin(deadline, e.label, abi.Say, &s.event)
	in.units = units
	defer in.end()
	code, f := in.hear(s, units)
	in.traced(f, func(to *Said) { s.tell(code, units, to) })
	return code, f
}

func (in *instance) hear(s *scratch, units []unit) (int32, *failure) {
	if f := in.pace(); f != nil {
		return 0, f
	}
	if f := in.writeFrame(abi.Say, &s.event, nil, units); f != nil {
		return 0, f
	}
	result, f := in.call(in.hooks[abi.Say], uint64(in.buffer))
	if f != nil {
		return 0, f
	}
	code := int32(result)
	if f = in.heard(s, code, len(units)); f != nil {
		in.broken = true
	}
	return code, f
}

// heard reads what the return value says there is to read.
func (in *instance) heard(s *scratch, code int32, n int) *failure {
	s.variants, s.verdicts = s.variants[:0], s.verdicts[:0]
	switch code {
	case abi.Allow, abi.Deny, abi.Drop, abi.AllowEnd:
		return nil
	case abi.Rewritten:
		r := in.results()
		s.variants = append(s.variants, r.rewrite())
		return r.err
	case abi.PerReceiver:
		r := in.results()
		r.variants(s)
		if r.err == nil {
			r.verdicts(s, r.memory[int(in.buffer)+in.verdicts:][:n])
		}
		return r.err
	}
	return in.unknown(abi.Say, code)
}

// maxVariantBytes bounds the variants of one call together.
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
		w.extra = r.object(record, abi.VariantExtra, "extra", reservedInExtra[:])
		if size += len(w.message.Text) + len(w.extra); size > maxVariantBytes && r.err == nil {
			r.err = fail(Protocol, "variants: more than %d bytes", maxVariantBytes)
		}
		if r.err != nil {
			return
		}
		s.variants = append(s.variants, w)
	}
}

// verdicts copies verdict bytes into the scratch. They are where the host has put
// them: what the guest made of the header does not count.
func (r *results) verdicts(s *scratch, verdicts []byte) {
	s.verdicts = append(s.verdicts, verdicts...)
	for i, v := range s.verdicts {
		if v >= abi.VerdictVariant && int(v)-abi.VerdictVariant >= len(s.variants) {
			r.err = fail(Protocol, "receiver %d has variant %d of %d", i, v-abi.VerdictVariant, len(s.variants))
			return
		}
	}
}
