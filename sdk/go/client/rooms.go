package client

import (
	"maps"
	"slices"
	"sync"
)

// place is the client's in a room that it is in or joins.
type place struct {
	room     string
	since    Position // up to here it was heard; zero where the room keeps no history
	presence bool
	joining  int // requests on their way
	joined   bool
	leaving  bool // it was asked to leave: it is not joined again after a break
}

// rooms are those of a client.
type rooms struct {
	mu     sync.Mutex
	places map[string]*place
}

// names are the rooms that were joined, sorted.
func (r *rooms) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.places)) {
		if r.places[name].joined {
			names = append(names, name)
		}
	}
	return names
}

// begin makes a place in a room that is about to be joined. What is heard of it counts
// from here on.
func (r *rooms) begin(room string, o JoinOptions) *place {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[room]
	if p == nil {
		p = &place{room: room, since: o.Since}
		r.places[room] = p
	}
	p.joining++
	p.presence = p.presence || o.Presence
	return p
}

// joined notes that the client is in the room, which is there just now: what was
// missed before that comes after the answer.
func (r *rooms) joined(p *place, at Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.joined = true
	if p.since.Epoch != at.Epoch { // else it is where the missed messages begin
		p.since = at
	}
}

// ended ends what began with begin.
func (r *rooms) ended(p *place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.joining--
	if !p.joined && p.joining == 0 && r.places[p.room] == p {
		delete(r.places, p.room)
	}
}

// request is a roomAdd that goes on where the place has ended.
func (r *rooms) request(p *place) request {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := request{Event: "roomAdd", Room: p.room, Presence: p.presence}
	if p.since != (Position{}) {
		q.Since = p.since
	}
	return q
}

// leaving notes that a room is about to be left, or after all is not.
func (r *rooms) leaving(room string, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.places[room]; p != nil {
		p.leaving = is
	}
}

// wants says whether the place is still to be joined again after a break.
func (r *rooms) wants(p *place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.places[p.room] == p && p.joined && !p.leaving
}

func (r *rooms) left(room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.places[room]; p != nil && p.joining == 0 {
		delete(r.places, room)
	} else if p != nil {
		p.joined = false
	}
}

// has says whether the client is in a room, as far as it knows.
func (r *rooms) has(room string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[room]
	return p != nil && p.joined
}

// positions are how far the rooms were heard that keep history, those being joined too.
func (r *rooms) positions() map[string]Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := map[string]Position{}
	for name, p := range r.places {
		if p.since != (Position{}) {
			at[name] = p.since
		}
	}
	return at
}

// missing are the places that are to be joined again by a connection that is in the
// rooms of there already. What was about to be left has been left.
func (r *rooms) missing(there map[string]resumedRoom) (places []*place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.places {
		_, in := there[name]
		switch {
		case in || !p.joined:
		case p.leaving:
			delete(r.places, name)
		default:
			places = append(places, p)
		}
	}
	return places
}

// heard notes how far a room was heard. It is false if this message was heard before.
func (r *rooms) heard(room string, at Position) bool {
	if at == (Position{}) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.places[room]
	switch {
	case p == nil:
	case p.since.Epoch == at.Epoch && at.Offset <= p.since.Offset:
		return false
	default:
		p.since = at
	}
	return true
}
