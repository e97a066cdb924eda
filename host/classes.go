package host

import (
	"bytes"
	"slices"

	"github.com/mootchat/moot/engine"
)

// nobody is what a module sees of a receiver that it may see nothing of.
var nobody = encoded{blob: appendConnection(nil, new(engine.Profile), new(shape))}

// collect makes the units that a module is asked about: each member of the group, or
// each class of them. Members are of one class if they look the same to it, so
// one answer is right for all.
func (s *scratch) collect(d *declared) {
	s.units = s.units[:0]
	n := len(s.group)
	if s.group == nil {
		n = len(s.members)
	}
	s.unitOf = resize(s.unitOf, n)
	switch {
	case d.varies && d.perUnit.blind():
		s.units = append(s.units, unit{encoded: &nobody})
		clear(s.unitOf)
	case d.varies:
		s.classify(&d.perUnit)
	default:
		s.units = slices.Grow(s.units, n)[:n]
		for k := range s.units {
			s.units[k] = s.unit(k, &d.perUnit)
			s.unitOf[k] = int32(k)
		}
	}
}

// unit is the member at a place of the group.
func (s *scratch) unit(k int, shows *shape) unit {
	if s.group != nil {
		k = int(s.group[k])
	}
	m := s.members[k]
	u := unit{encoded: encode(m.Profile(), shows)}
	if shows.joined {
		u.joinedAt = m.JoinedAt()
	}
	return u
}

// classify finds the classes with a hash table. Hashes come with the encodings.
func (s *scratch) classify(shows *shape) {
	size := 16
	for size < 2*len(s.unitOf) {
		size *= 2
	}
	s.classes = resize(s.classes, size)
	clear(s.classes)
	for k := range s.unitOf {
		u := s.unit(k, shows)
		at := (u.hash ^ uint64(u.joinedAt)) & uint64(size-1)
		for s.classes[at] != 0 && !s.units[s.classes[at]-1].looksLike(&u) {
			at = (at + 1) & uint64(size-1)
		}
		if s.classes[at] == 0 {
			s.units = append(s.units, u)
			s.classes[at] = int32(len(s.units))
		}
		s.unitOf[k] = s.classes[at] - 1
	}
}

func (u *unit) looksLike(v *unit) bool {
	return u.hash == v.hash && u.joinedAt == v.joinedAt && bytes.Equal(u.blob, v.blob)
}
