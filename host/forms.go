package host

import (
	"slices"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// form is the message as some of the members hear it.
type form struct {
	payload wire.Payload
	asIs    bool // nothing was changed
	ended   bool // no later module is asked about it
	index   int32
	head    int32 // the first of its members, or -1: see scratch.next
}

// derive is the form f rewritten: one that there is already, or a new one.
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

// ending is the form f, about which no later module is asked.
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
	first := s.outcome[0]
	if !s.split && !slices.ContainsFunc(s.outcome, func(f int32) bool { return f != first }) {
		s.all = first
		return
	}
	if !s.split {
		s.split = true
		s.of = resize(s.of, len(s.members))
		for i := range s.of {
			s.of[i] = s.outcome[s.unitOf[i]]
		}
		return
	}
	for k, i := range s.group {
		s.of[i] = s.outcome[s.unitOf[k]]
	}
}

// delivery is the outcome as the engine wants it.
func (s *scratch) delivery() engine.Delivery {
	var answers []wire.Payload
	index := func(f int32) int32 {
		switch {
		case f == nothing:
			return engine.Nothing
		case s.forms[f].asIs:
			return engine.AsIs
		case s.forms[f].index == 0:
			answers = append(answers, s.forms[f].payload)
			s.forms[f].index = int32(len(answers))
		}
		return s.forms[f].index - 1
	}
	if !s.split {
		d := engine.Delivery{All: index(s.all)}
		d.Answers = answers
		s.free()
		return d
	}
	s.delivered = resize(s.delivered, len(s.of))
	for i, f := range s.of {
		s.delivered[i] = index(f)
	}
	return engine.Delivery{Answers: answers, For: s.delivered, Release: s.release}
}
