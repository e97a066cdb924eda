package wire

import "strconv"

type field uint8

const (
	noField field = iota
	keyField
	sinceField
	presenceField
	moderationField
	heldField
	amendmentsField
	targetField
	reasonField
	userField
	notifyField
	limitField
	cursorField
	beforeField
	tokenField
	sessionField
	sincesField
)

// setField sets the field of that name and reports whether the verb has such a field.
func (r *Request) setField(v *Verb, name, value []byte) bool {
	f := v.field(name)
	if f == nil {
		return false
	}
	if value[0] != 'n' { // null sets nothing
		if want := r.set(f.kind, value); want != "" {
			r.Fault = f.Name + " must be " + want
		}
	}
	return true
}

// field returns the field of that name, or nil if v is nil or has no such field.
func (v *Verb) field(name []byte) *Field {
	if v == nil {
		return nil
	}
	for i := range v.Fields {
		if v.Fields[i].Name == string(name) {
			return &v.Fields[i]
		}
	}
	return nil
}

// set sets a field. If the value is not valid it returns a description of a valid one,
// otherwise "". It is a switch, not a function in the table, so that a Request can stay
// on the stack.
func (r *Request) set(f field, value []byte) (want string) {
	switch f {
	case keyField:
		return r.setKey(value)
	case sinceField:
		return r.setSince(value)
	case presenceField:
		return setBool(&r.Presence, value)
	case moderationField:
		return setBool(&r.Moderation, value)
	case heldField:
		return setString(&r.Held, value)
	case amendmentsField:
		return setBool(&r.Amendments, value)
	case targetField:
		return setString(&r.Target, value)
	case reasonField:
		return setString(&r.Reason, value)
	case userField:
		return setString(&r.User, value)
	case notifyField:
		return setBool(&r.Notify, value)
	case limitField:
		return r.setLimit(value)
	case cursorField:
		return setString(&r.Cursor, value)
	case beforeField:
		return setOffset(&r.Before, value)
	case sessionField:
		return setString(&r.Session, value)
	case sincesField:
		return r.setSinces(value)
	case tokenField:
		return setString(&r.Token, value)
	default:
		return ""
	}
}

func (r *Request) setKey(value []byte) string {
	if value[0] == '{' || value[0] == '[' { // all objects would be one key
		return "a string or a number"
	}
	r.Key = string(appendText(nil, value, ""))
	return ""
}

func setBool(dst *bool, value []byte) string {
	if value[0] != 't' && value[0] != 'f' {
		return "true or false"
	}
	*dst = value[0] == 't'
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

// setSinces sets the positions by room name.
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
