package wire

import "strconv"

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
	{"resume", "session", fieldSession},
	{"resume", "since", fieldSinces},
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
	fieldSession
	fieldSinces
)

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
	case fieldSession:
		return setString(&r.Session, value)
	case fieldSinces:
		return r.setSinces(value)
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

const aPosition = `{"epoch":string,"offset":whole number}`

func (r *Request) setSince(value []byte) string {
	p, ok := positionOf(value)
	if !ok {
		return aPosition
	}
	r.Since = &p
	return ""
}

// setSinces takes positions by the names of rooms.
func (r *Request) setSinces(value []byte) string {
	const want = `{room:` + aPosition + `}`
	if value[0] != '{' {
		return want
	}
	r.Sinces = map[string]Position{}
	for w := walkInto(value); !w.done(); {
		m := w.member()
		p, ok := positionOf(m.value)
		if !ok {
			return want
		}
		r.Sinces[string(m.name())] = p
	}
	return ""
}

func positionOf(value []byte) (p Position, ok bool) {
	if value[0] != '{' {
		return p, false
	}
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
			return p, false
		}
	}
	return p, seen == 3
}
