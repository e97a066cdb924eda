package wire

import "encoding/json"

// ParseRequest parses the text of a WebSocket message. JSON that is not an object
// becomes a request without a verb. Of members with the same name the last one counts,
// as in JavaScript.
//
// The errors are ErrJSON, ErrUTF8 and ErrDepth; each has a text for the client.
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
	if r.Verb != actionVerb {
		r.Data = r.echo(members, len(value))
	}
	return r, nil
}

// collect appends the members of an object to dst. A repeated name keeps its first
// place and gets its last value.
func collect(dst []member, object []byte) []member {
	var places map[string]int // by name; nil while the members fit into dst's first array
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

// parseEvent returns the request of an object's members, without Data.
func parseEvent(members []member) Request {
	var r Request
	var room []byte
	for _, m := range members {
		switch string(m.name()) {
		case "event":
			r.Verb = verbName(m.value)
		case "messageId":
			r.setID(m.value)
		case "room":
			if !falsy(m.value) {
				room = m.value
			}
		}
	}
	if r.Verb == actionVerb {
		r.setAction(members)
		return r
	}
	v := FindVerb(r.Verb)
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
		case "message":
			if v != nil && v.structured {
				r.setStructured(m.value)
			}
			w.add(&r, m.value)
		default:
			if !r.setField(v, name, m.value) {
				w.add(&r, m.value)
			}
		}
	}
	w.end(&r, v)
	return r
}

// verbName returns the text of value. The name of a known verb is not allocated.
func verbName(value []byte) string {
	if value[0] == '"' {
		inner := value[1 : len(value)-1]
		for i := range Verbs {
			if string(inner) == Verbs[i].Name {
				return Verbs[i].Name
			}
		}
	}
	return string(appendText(nil, value, "null"))
}

// setStructured sets Structured if value is an object or an array.
func (r *Request) setStructured(value []byte) {
	if value[0] != '{' && value[0] != '[' {
		return
	}
	r.Structured = string(appendCompact(make([]byte, 0, len(value)), value))
	r.Depth = depthOf(value)
}

func (r *Request) setID(value []byte) {
	r.ID = nil
	if !falsy(value) {
		r.ID = appendJSON(make([]byte, 0, len(value)), value)
	}
}

// setAction sets the name and the parameters of an action. If the request has no
// messageId, it sets the messageId of the parameters.
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

// echo returns the object that an error returns to the client: the members without
// event, messageId, a truthy room, and the secrets of the verb.
func (r *Request) echo(members []member, size int) json.RawMessage {
	v := FindVerb(r.Verb)
	data := append(make([]byte, 0, size), '{')
	for _, m := range members {
		switch string(m.name()) {
		case "event", "messageId":
			continue
		case "room":
			if !falsy(m.value) {
				continue
			}
		}
		if f := v.field(m.name()); f != nil && f.secret {
			continue
		}
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = append(append(data, m.key...), ':')
		data = append(data, m.value...)
	}
	return append(data, '}')
}
