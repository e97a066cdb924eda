package host

import (
	"slices"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// form is the message as some of the members receive it.
type form struct {
	payload wire.Payload
	asIs    bool // nothing was changed
	ended   bool // no later module is called for it
	index   int32
	head    int32 // the first of its members, or -1: see scratch.next
}

// derive returns the form of f after a rewrite: an existing one or a new one.
func (s *scratch) derive(f int32, w *rewrite) int32 {
	p := s.forms[f].payload
	if w.newMessage {
		p.Message = w.message
	}
	if w.room != "" {
		p.Room = w.room
	}
	if w.from != "" {
		p.From = w.from
	}
	if w.sentAt != 0 {
		p.SentAt = w.sentAt
	}
	if w.extra != nil {
		p.Extra = merge(p.Extra, w.extra)
	}
	for i := range s.forms {
		if !s.forms[i].ended && equal(&s.forms[i].payload, &p) {
			return int32(i)
		}
	}
	s.forms = append(s.forms, form{payload: p, head: -1})
	return int32(len(s.forms) - 1)
}

func equal(a, b *wire.Payload) bool {
	return a.Message == b.Message && a.Room == b.Room && a.From == b.From && a.SentAt == b.SentAt &&
		string(a.Extra) == string(b.Extra)
}

// ending returns the form f after which no later module is called.
func (s *scratch) ending(f int32) int32 {
	for i := range s.forms {
		if s.forms[i].ended && s.forms[i].asIs == s.forms[f].asIs && equal(&s.forms[i].payload, &s.forms[f].payload) {
			return int32(i)
		}
	}
	ended := s.forms[f]
	ended.ended = true
	s.forms = append(s.forms, ended)
	return int32(len(s.forms) - 1)
}

// apply gives the members the outcome of their units.
func (s *scratch) apply() {
	if s.group != nil {
		for k, i := range s.group {
			s.of[i] = s.outcome[s.unitOf[k]]
		}
		return
	}
	first := s.outcome[0]
	switch {
	case !slices.ContainsFunc(s.outcome, func(f int32) bool { return f != first }):
		s.all = first
		return
	case s.unitOf == nil:
		s.of, s.outcome = s.outcome, s.of
	default:
		s.of = resize(s.of, len(s.members))
		for i, u := range s.unitOf {
			s.of[i] = s.outcome[u]
		}
	}
	s.split = true
}

// delivery returns the outcome in the engine's form.
func (s *scratch) delivery() hook.Delivery {
	var d hook.Delivery
	if !s.split {
		d.All = s.index(&d, s.all)
		s.free()
		return d
	}
	s.delivered = resize(s.delivered, len(s.of))
	last, index := nothing, nothing
	for i, f := range s.of {
		if f != last {
			last, index = f, s.index(&d, f)
		}
		s.delivered[i] = index
	}
	d.For, d.Release = s.delivered, s.release
	return d
}

// index returns the index of a form in the delivery, which gets its answer.
func (s *scratch) index(d *hook.Delivery, f int32) int32 {
	switch {
	case f == nothing:
		return hook.Nothing
	case s.forms[f].asIs:
		return hook.AsIs
	case s.forms[f].index == 0:
		d.Answers = append(d.Answers, s.forms[f].payload)
		s.forms[f].index = int32(len(d.Answers))
	}
	return s.forms[f].index - 1
}
