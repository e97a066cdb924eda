package client

import (
	"maps"
	"slices"
	"sync"
)

// membership is a room that the client is in or is joining.
type membership struct {
	room     string
	since    Position // of the last message received, without those of counted; zero if it is unknown
	counts   bool     // the room has no history: its messages have no positions, and the client counts them
	counted  uint64   // messages without positions since the last request
	answered Position // the room's position in the last answer; zero if the answer had none
	presence bool
	outcomes bool // the client asks for the outcomes of held messages
	joining  int  // calls of Join under way
	joined   bool
	leaving  bool // Leave is under way: the room is not joined again after a break
}

// rooms holds the memberships of a client. It is safe for concurrent use; its lock
// guards the fields of the memberships too.
type rooms struct {
	mu     sync.Mutex
	byName map[string]*membership
}

// names returns the names of the joined rooms, sorted.
func (r *rooms) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.byName)) {
		if r.byName[name].joined {
			names = append(names, name)
		}
	}
	return names
}

// begin returns the membership for a call of Join, and creates it if there is none.
// Positions of messages are noted from here on. The caller calls ended at the end.
func (r *rooms) begin(room string, o JoinOptions) *membership {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byName[room]
	if m == nil {
		m = &membership{room: room, since: o.Since}
		r.byName[room] = m
	}
	m.joining++
	m.presence = m.presence || o.Presence
	m.outcomes = m.outcomes || o.Moderation
	return m
}

// joined records that the client is in the room. at is the position in the answer to
// roomAdd.
func (r *rooms) joined(m *membership, at Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.joined = true
	m.begin(at)
}

// resumed records the positions in the answer to resume.
func (r *rooms) resumed(rooms map[string]resumedRoom) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, at := range rooms {
		if m := r.byName[name]; m != nil {
			m.begin(at.Position)
		}
	}
}

// begin takes the room's position from an answer. In a room with history it is ignored in the
// epoch of m.since, because the missed messages follow.
func (m *membership) begin(at Position) {
	m.answered = at
	if at != (Position{}) && (m.counts || m.since.Epoch != at.Epoch) {
		m.since = at
	}
}

// position returns the position of the last message received, for a request.
func (m *membership) position() Position {
	if m.since.Epoch != "" {
		m.since.Offset += m.counted
	}
	m.counted = 0
	return m.since
}

// ended ends a call of Join that began with begin. It removes a membership that was not joined.
func (r *rooms) ended(m *membership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.joining--
	if !m.joined && m.joining == 0 && r.byName[m.room] == m {
		delete(r.byName, m.room)
	}
}

// request returns the roomAdd that asks for the messages after the last one received.
func (r *rooms) request(m *membership) request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return request{Event: "roomAdd", Room: m.room, Presence: m.presence, Moderation: m.outcomes, Amendments: true, Since: m.position()}
}

// leaving records whether a call of Leave is under way.
func (r *rooms) leaving(room string, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.byName[room]; m != nil {
		m.leaving = is
	}
}

// mustJoin reports whether the room must still be joined again after a break.
func (r *rooms) mustJoin(m *membership) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[m.room] == m && m.joined && !m.leaving
}

// left records that the client is not in the room any more.
func (r *rooms) left(room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.byName[room]; m != nil && m.joining == 0 {
		delete(r.byName, room)
	} else if m != nil {
		m.joined = false
	}
}

// has reports whether the client is in the room, as far as it knows.
func (r *rooms) has(room string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byName[room]
	return m != nil && m.joined
}

// positions returns the position of the last message received in each room, including rooms
// that are being joined.
func (r *rooms) positions() map[string]Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := map[string]Position{}
	for name, m := range r.byName {
		at[name] = m.position()
	}
	return at
}

// missing returns the rooms that a new or resumed connection must join, without the rooms
// of resumed, which it is in. A room whose Leave is under way counts as left.
func (r *rooms) missing(resumed map[string]resumedRoom) (missing []*membership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.byName {
		_, in := resumed[name]
		switch {
		case in || !m.joined:
		case m.leaving:
			delete(r.byName, name)
		default:
			missing = append(missing, m)
		}
	}
	return missing
}

// received records the position of a message. It returns false for a message that was
// received before.
func (r *rooms) received(room string, at Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byName[room]
	switch {
	case m == nil:
	case at == Position{}:
		if !m.counts {
			m.counts, m.since = true, m.answered
		}
		m.counted++
	case m.since.Epoch == at.Epoch && at.Offset <= m.since.Offset:
		return false
	default:
		m.since = at
	}
	return true
}
