package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unique"

	"github.com/mootchat/moot/host/abi"
)

// shape is the part of a connection that a module may see, or by which its answer may vary.
type shape struct {
	key        unique.Handle[string] // equal for equal shapes of all modules
	fields     [abi.ConnFieldCount]bool
	properties []string // by name, in order
	connected  bool     // connectedAt
	joined     bool     // joinedAt
}

// view is the part of an event and of connections that a module may see.
type view struct {
	fields []abi.Field // of the event, in order
	conn   shape
}

// fullView is the view of a module without declarations: all but properties.
func fullView() view {
	v := view{conn: shape{connected: true, joined: true}}
	for f := range abi.EventFieldCount {
		v.fields = append(v.fields, f)
	}
	for i := range v.conn.fields {
		v.conn.fields[i] = abi.Field(i) != abi.ConnProperties
	}
	v.conn.seal()
	return v
}

// viewOf reads a manifest's reads; nil is the full view.
func viewOf(reads []string) (view, error) {
	if reads == nil {
		return fullView(), nil
	}
	var v view
	var errs []error
	for _, name := range reads {
		field, ofEvent := abi.EventField(name)
		if ofEvent && !slices.Contains(v.fields, field) {
			v.fields = append(v.fields, field)
		}
		if !v.conn.add(name) && !ofEvent {
			errs = append(errs, fmt.Errorf("reads: unknown field %q; known are %s", name, fieldNames()))
		}
	}
	slices.Sort(v.fields)
	v.conn.seal()
	return v, errors.Join(errs...)
}

// varyOf reads a manifest's vary, which must be part of the view.
func varyOf(vary []string, sees *shape) (shape, error) {
	var s shape
	var errs []error
	for _, name := range vary {
		switch {
		case !s.add(name):
			errs = append(errs, fmt.Errorf("vary: a connection has no field %q", name))
		case !sees.shows(name):
			errs = append(errs, fmt.Errorf("vary: %q is not among reads", name))
		}
	}
	s.seal()
	return s, errors.Join(errs...)
}

// add shows the named field; false if connections have no such field.
func (s *shape) add(name string) bool {
	switch abi.ConnectionTime(name) {
	case abi.BlobA:
		s.connected = true
		return true
	case abi.BlobB:
		s.joined = true
		return true
	}
	field, property, ok := abi.ConnectionField(name)
	if !ok {
		return false
	}
	s.fields[field] = true
	if field == abi.ConnProperties && !slices.Contains(s.properties, property) {
		s.properties = append(s.properties, property)
	}
	return true
}

// shows reports whether the named field is shown.
func (s *shape) shows(name string) bool {
	switch abi.ConnectionTime(name) {
	case abi.BlobA:
		return s.connected
	case abi.BlobB:
		return s.joined
	}
	field, property, ok := abi.ConnectionField(name)
	if ok && field == abi.ConnProperties {
		return slices.Contains(s.properties, property)
	}
	return ok && s.fields[field]
}

// seal makes the key after all fields are added.
func (s *shape) seal() {
	slices.Sort(s.properties)
	s.key = unique.Make(fmt.Sprintf("%v %v %v %q", s.fields, s.connected, s.joined, s.properties))
}

// empty reports whether nothing is shown.
func (s *shape) empty() bool {
	return !s.connected && !s.joined && s.fields == [abi.ConnFieldCount]bool{}
}

func fieldNames() string {
	return strings.Join([]string{"room", "tenant", "from", "message", "context", "cause", "action", "params", "messageId", "edits",
		"id", "fingerprint", "user", "transport", "remoteIP", "locale", "properties.NAME", "connectedAt", "joinedAt"}, ", ")
}
