package wire

import "encoding/json"

// verbs are those that a line may begin with.
var verbs = [...]string{
	"say", "roomAdd", "roomLeave", "roomView", "roomHistory", "detailsView", "documentation", "auth", "resume",
	"quit", "exit", "paramAdd", "paramDelete", "paramView", "paramsView", "paramsDelete",
}

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

// echo is the object that an error gives back. A token or session is left out:
// what is secret is not sent around.
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
		case "session":
			if r.Verb == "resume" {
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
