package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// ParseLine parses a line of the socket transport, without its end:
//
//   - A verb and its words, separated by single spaces: say ROOM TEXT, roomAdd
//     ROOM, edit ROOM ID TEXT, heldWithdraw ID, report ROOM ID REASON, auth TOKEN, resume SESSION, paramAdd KEY=VALUE, ...
//   - A JSON object with "event", as in a WebSocket frame.
//   - Any other JSON is an action: {"action":NAME,"params":{...}}.
//   - The first word of any other line names an action, which is called with the
//     sticky parameters.
//
// ErrJSON refuses a blank line, which [Lines] never returns, and a line that begins
// like a JSON object or array but is not valid JSON.
//
// The errors are ErrJSON, ErrUTF8 and ErrDepth; each has a text for the client.
func ParseLine(line []byte) (Request, error) {
	first, words, given := bytes.Cut(line, []byte(" "))
	for i := range Verbs {
		v := &Verbs[i]
		if string(first) != v.Name || v.Name == actionVerb { // a line names its action without the verb
			continue
		}
		if !utf8.Valid(words) {
			return Request{}, ErrUTF8
		}
		return parseWords(v, string(words), given), nil
	}
	value, err := check(line)
	switch {
	case err == nil && value[0] == '{':
		return parseObject(value), nil
	case err == nil && value[0] != 'n':
		return Request{Verb: actionVerb}, nil // without a name it repeats the last action
	case err != nil && err != ErrJSON:
		return Request{}, err
	}
	name, _, _ := bytes.Cut(bytes.TrimLeft(line, " "), []byte(" "))
	if len(name) == 0 || name[0] == '{' || name[0] == '[' {
		return Request{}, ErrJSON
	}
	return Request{Verb: actionVerb, Action: string(name)}, nil // also null, as in ActionHero
}

// parseWords parses the words after a verb. given is false if the line is only the
// verb.
func parseWords(v *Verb, words string, given bool) Request {
	r := Request{Verb: v.Name}
	first, rest, _ := strings.Cut(words, " ")
	switch v.argument {
	case tokenField:
		r.Token = first
	case sessionField:
		r.Session = first
	case heldField:
		r.Held = first
	default:
		r.Room, r.RoomGiven, r.Text = first, given, rest
		second, _, _ := strings.Cut(rest, " ")
		r.setParam(v, first, second)
		if v.targets {
			r.Target, r.Text, _ = strings.Cut(rest, " ")
		}
	}
	return r
}

func parseObject(value []byte) Request {
	var few [16]member
	members := collect(few[:0], value)
	for _, m := range members {
		if string(m.name()) == "event" {
			return parseEvent(members)
		}
	}
	r := Request{Verb: actionVerb}
	r.setAction(members)
	return r
}
