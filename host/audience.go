package host

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unique"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// audience has the members of a snapshot in the form that modules with one shape see: each member, or
// classes of members that look the same, so that one answer is right for the whole class. It is made
// once for each snapshot and shape, and kept with the snapshot. It is immutable.
type audience struct {
	key     audienceKey
	units   []unit
	unitOf  []int32 // by member; nil: each member is a unit
	batches []batch // of all units
	next    *audience
	more    int // number of audiences that follow
}

type audienceKey struct {
	shape   unique.Handle[string]
	classes bool
}

// batch has the units of one frame, and their part of that frame.
type batch struct {
	from, to int
	part     []byte
}

// maxAudiences limits the audiences that are kept with a snapshot: a snapshot of a room that never
// changes outlives many reloads.
const maxAudiences = 8

// audience returns the audience of the members. Without a snapshot it is made for this message only.
func (s *scratch) audience(d *declared) *audience {
	key := audienceKey{d.perUnit.key, d.varies}
	var newest *audience
	if s.event.Snapshot != nil {
		newest, _ = s.event.Snapshot.Derived.Load().(*audience)
	}
	for a := newest; a != nil; a = a.next {
		if a.key == key {
			return a
		}
	}
	a := newAudience(key, s.members, &d.perUnit)
	if s.event.Snapshot == nil {
		return a
	}
	if newest != nil && newest.more+1 < maxAudiences { // otherwise the others are dropped
		a.next, a.more = newest, newest.more+1
	}
	if newest == nil {
		s.event.Snapshot.Derived.CompareAndSwap(nil, a)
	} else {
		s.event.Snapshot.Derived.CompareAndSwap(newest, a)
	}
	return a
}

func newAudience(key audienceKey, members []hook.Member, shows *shape) *audience {
	a := &audience{key: key}
	switch {
	case key.classes && shows.empty():
		a.units, a.unitOf = []unit{{encoded: &nobody}}, make([]int32, len(members))
	case key.classes:
		a.classify(members, shows)
	default:
		a.units = make([]unit, len(members))
		for i, m := range members {
			a.units[i] = unitOf(m, shows)
		}
	}
	for from := 0; from < len(a.units); {
		to := fitting(a.units, from, abi.MaxReceivers, abi.ExchangeMax)
		a.batches = append(a.batches, batch{from, to, appendUnits(nil, a.units[from:to])})
		from = to
	}
	return a
}

// unit is a receiver in a frame: a member, or a class of members that look the same to the module.
// property_get may read from the profile: for a class, the profile of any member; for [nobody], none.
type unit struct {
	*encoded
	joinedAt int64 // 0 if hidden
}

// nobody is a receiver that shows no fields to a module.
var nobody = encoded{blob: appendConnection(nil, new(hook.Profile), new(shape))}

func unitOf(m hook.Member, shows *shape) unit {
	u := unit{encoded: encode(m.Profile(), shows)}
	if shows.joined {
		u.joinedAt = m.JoinedAt()
	}
	return u
}

// classify finds the classes with a hash table. The hashes are made with the encodings.
func (a *audience) classify(members []hook.Member, shows *shape) {
	a.unitOf = make([]int32, len(members))
	classes := make(map[uint64][]int32)
	for i, m := range members {
		u := unitOf(m, shows)
		hash := u.hash ^ uint64(u.joinedAt)
		at := slices.IndexFunc(classes[hash], func(k int32) bool { return a.units[k].looksLike(&u) })
		if at < 0 {
			at = len(classes[hash])
			classes[hash] = append(classes[hash], int32(len(a.units)))
			a.units = append(a.units, u)
		}
		a.unitOf[i] = classes[hash][at]
	}
}

func (u *unit) looksLike(v *unit) bool {
	return u.hash == v.hash && u.joinedAt == v.joinedAt && bytes.Equal(u.blob, v.blob)
}

// unit returns the unit of a member.
func (a *audience) unit(member int32) int32 {
	if a.unitOf == nil {
		return member
	}
	return a.unitOf[member]
}

// fitting returns the end of the range of units that fit into one frame by number and bytes. The
// range has at least one unit.
func fitting(units []unit, from, most, room int) int {
	blobs := 0
	for to := from; to < len(units); to++ {
		blobs += len(units[to].blob)
		n := to - from
		if n > 0 && (n == most || blobs > abi.MaxReceiverBytes || blobs+blobsAt(n+1) > room) {
			return to
		}
	}
	return len(units)
}

// appendUnits appends the part of a frame about the receivers: the table of their offsets, their
// verdict bytes and their blobs. The part follows the header directly, so that it is the same in
// every frame.
func appendUnits(dst []byte, units []unit) []byte {
	le := binary.LittleEndian
	start, size := len(dst), blobsAt(len(units))
	for i := range units {
		size += len(units[i].blob)
	}
	dst = slices.Grow(dst, size)[:start+size]
	b, at := dst[start:], blobsAt(len(units))
	clear(b[:at])
	for i := range units {
		u := &units[i]
		le.PutUint32(b[4*i:], uint32(abi.HeaderSize+at))
		copy(b[at:], u.blob)
		if u.joinedAt != 0 {
			le.PutUint64(b[at+abi.BlobB:], uint64(u.joinedAt))
		}
		at += len(u.blob)
	}
	return dst
}

// verdictsAt and blobsAt return offsets in the part of n receivers.
func verdictsAt(n int) int { return pad(4 * n) }
func blobsAt(n int) int    { return pad(verdictsAt(n) + n) }
