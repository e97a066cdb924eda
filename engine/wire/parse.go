package wire

import (
	"encoding/json"
	"strconv"
)

// verbs are those that a line may begin with.
var verbs = [...]string{
	"say", "roomAdd", "roomLeave", "roomView", "roomHistory", "detailsView", "documentation", "auth",
	"quit", "exit", "paramAdd", "paramDelete", "paramView", "paramsView", "paramsDelete",
}

// fields are the fields of a request that ActionHero does not have. At their
// verb they are no words.
var fields = [...]struct {
	verb, name string
	field      field
}{
	{"say", "key", fieldKey},
	{"roomAdd", "since", fieldSince},
	{"roomAdd", "presence", fieldPresence},
	{"roomView", "limit", fieldLimit},
	{"roomView", "cursor", fieldCursor},
	{"roomHistory", "limit", fieldLimit},
	{"roomHistory", "before", fieldBefore},
	{"auth", "token", fieldToken},
}

type field uint8

const (
	fieldKey field = iota
	fieldSince
	fieldPresence
	fieldLimit
	fieldCursor
	fieldBefore
	fieldToken
)

// ParseRequest parses the text of a WebSocket message. JSON that is no object
// is a request without a verb. Of members with one name the last counts, as in
// JavaScript.
//
// Errors: ErrJSON, ErrUTF8, ErrDepth, each with a text for the client.
func ParseRequest(frame []byte) (Request, error) {
	value, err := check(frame)
	if err != nil {
		return Request{}, err
	}
	if value[0] != '{' {
		return Request{}, nil
	}
	var few [16]member
	members := collect(few[:0], value)
	r := parseEvent(members)
	if r.Verb != "action" {
		r.Data = r.echo(members, len(value))
	}
	return r, nil
}

// collect appends the members of an object. A name that comes again keeps its
// first place and gets its last value.
func collect(dst []member, object []byte) []member {
	var places map[string]int // of the names, once there are many
next:
	for w := walkInto(object); !w.done(); {
		m := w.member()
		name := m.name()
		if places == nil {
			for i := range dst {
				if string(dst[i].name()) == string(name) {
					dst[i].value = m.value
					continue next
				}
			}
		} else if i, ok := places[string(name)]; ok {
			dst[i].value = m.value
			continue
		}
		dst = append(dst, m)
		if places != nil {
			places[string(name)] = len(dst) - 1
		} else if len(dst) == cap(dst) {
			places = make(map[string]int, 2*len(dst))
			for i := range dst {
				places[string(dst[i].name())] = i
			}
		}
	}
	return dst
}

// parseEvent makes a request, but for Data, of the members of an object.
func parseEvent(members []member) Request {
	var r Request
	var room []byte
	for _, m := range members {
		switch string(m.name()) {
		case "event":
			r.Verb = verbOf(m.value)
		case "messageId":
			r.setID(m.value)
		case "room":
			if !falsy(m.value) {
				room = m.value
			}
		}
	}
	if r.Verb == "action" {
		r.setAction(members)
		return r
	}
	var w words
	if room != nil {
		w.add(&r, room)
	}
	for _, m := range members {
		switch name := m.name(); string(name) {
		case "event", "messageId":
			continue
		case "room":
			if room != nil {
				continue
			}
			w.add(&r, m.value)
		default:
			if !r.setField(name, m.value) {
				w.add(&r, m.value)
			}
		}
	}
	w.end(&r)
	return r
}

func verbOf(value []byte) string {
	if value[0] == '"' {
		inner := value[1 : len(value)-1]
		for _, v := range verbs {
			if string(inner) == v {
				return v // no allocation
			}
		}
	}
	return string(appendText(nil, value, "null"))
}

func (r *Request) setID(value []byte) {
	r.ID = nil
	if !falsy(value) {
		r.ID = appendJSON(make([]byte, 0, len(value)), value)
	}
}

// setAction takes the action's name, parameters and, if there is none yet, the
// messageId from among them.
func (r *Request) setAction(members []member) {
	var name []byte
	for _, m := range members {
		switch string(m.name()) {
		case "action":
			if !falsy(m.value) {
				name = m.value
			}
		case "params":
			r.Params = json.RawMessage("{}")
			if m.value[0] == '{' {
				r.Params = append([]byte(nil), m.value...)
			}
		}
	}
	var inner, id []byte
	if r.Params != nil {
		for w := walkInto(r.Params); !w.done(); {
			switch m := w.member(); string(m.name()) {
			case "action":
				inner = m.value
			case "messageId":
				id = m.value
			}
		}
	}
	if name == nil && inner != nil && !falsy(inner) {
		name = inner
	}
	if name != nil {
		r.Action = string(appendText(nil, name, ""))
	}
	if r.ID == nil && id != nil {
		r.setID(id)
	}
}

// setField reports whether the verb has such a field of our own.
func (r *Request) setField(name, value []byte) bool {
	for i := range fields {
		f := &fields[i]
		if f.verb != r.Verb || f.name != string(name) {
			continue
		}
		if value[0] != 'n' { // null is as good as nothing
			if want := r.set(f.field, value); want != "" {
				r.Fault = f.name + " must be " + want
			}
		}
		return true
	}
	return false
}

// set returns what the value should have been, "" if it is that. It is a switch,
// and no function in the table, so that a Request need not be on the heap.
func (r *Request) set(f field, value []byte) (want string) {
	switch f {
	case fieldKey:
		return r.setKey(value)
	case fieldSince:
		return r.setSince(value)
	case fieldPresence:
		return r.setPresence(value)
	case fieldLimit:
		return r.setLimit(value)
	case fieldCursor:
		return setString(&r.Cursor, value)
	case fieldBefore:
		return setOffset(&r.Before, value)
	default:
		return setString(&r.Token, value)
	}
}

func (r *Request) setKey(value []byte) string {
	if value[0] == '{' || value[0] == '[' { // all objects would be one key
		return "a string or a number"
	}
	r.Key = string(appendText(nil, value, ""))
	return ""
}

func (r *Request) setPresence(value []byte) string {
	if value[0] != 't' && value[0] != 'f' {
		return "true or false"
	}
	r.Presence = value[0] == 't'
	return ""
}

func setString(dst *string, value []byte) string {
	if value[0] != '"' {
		return "a string"
	}
	*dst = unquote(value)
	return ""
}

func (r *Request) setLimit(value []byte) string {
	n, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return "a whole number"
	}
	r.Limit = int(n)
	return ""
}

func setOffset(dst *uint64, value []byte) string {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return "a whole number"
	}
	*dst = n
	return ""
}

func (r *Request) setSince(value []byte) string {
	const want = `{"epoch":string,"offset":whole number}`
	if value[0] != '{' {
		return want
	}
	var p Position
	var seen int
	for w := walkInto(value); !w.done(); {
		fault := ""
		switch m := w.member(); string(m.name()) {
		case "epoch":
			fault = setString(&p.Epoch, m.value)
			seen |= 1
		case "offset":
			fault = setOffset(&p.Offset, m.value)
			seen |= 2
		}
		if fault != "" {
			return want
		}
	}
	if seen != 3 {
		return want
	}
	r.Since = &p
	return ""
}

// echo is the object that an error gives back. A token is left out: what is
// secret is not sent around.
func (r *Request) echo(members []member, size int) json.RawMessage {
	data := append(make([]byte, 0, size), '{')
	for _, m := range members {
		switch string(m.name()) {
		case "event", "messageId":
			continue
		case "room":
			if !falsy(m.value) {
				continue
			}
		case "token":
			if r.Verb == "auth" {
				continue
			}
		}
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = append(append(data, m.key...), ':')
		data = append(data, m.value...)
	}
	return append(data, '}')
}
