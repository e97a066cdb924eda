package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// ParseLine parses a line of the socket transport, without its end:
//
//   - a verb and its words, separated by single spaces: say ROOM TEXT, roomAdd
//     ROOM, auth TOKEN, resume SESSION, paramAdd KEY=VALUE,
//     ...
//   - a JSON object with "event": the same as a WebSocket frame;
//   - any other JSON: an action, {"action":NAME,"params":{...}};
//   - anything else: the action that the first word names, with the sticky
//     parameters.
//
// A line that begins like a JSON object or array and is none is refused, for it
// cannot have been meant as the name of an action; so is a blank one, which
// [Lines] does not give.
//
// Errors: ErrJSON, ErrUTF8, ErrDepth, each with a text for the client.
func ParseLine(line []byte) (Request, error) {
	first, rest, spoken := bytes.Cut(line, []byte(" "))
	for _, v := range verbs {
		if string(first) != v {
			continue
		}
		if !utf8.Valid(rest) {
			return Request{}, ErrUTF8
		}
		return parseWords(v, string(rest), spoken), nil
	}
	value, err := check(line)
	switch {
	case err == nil && value[0] == '{':
		return parseObject(value), nil
	case err == nil && value[0] != 'n':
		return Request{Verb: "action"}, nil // no name: the action before
	case err != nil && err != ErrJSON:
		return Request{}, err
	}
	name, _, _ := bytes.Cut(bytes.TrimLeft(line, " "), []byte(" "))
	if len(name) == 0 || name[0] == '{' || name[0] == '[' {
		return Request{}, ErrJSON
	}
	return Request{Verb: "action", Action: string(name)}, nil // null as well, as in ActionHero
}

// parseWords takes the words behind a verb. spoken is false if there was not
// even a space.
func parseWords(verb, rest string, spoken bool) Request {
	r := Request{Verb: verb}
	if verb == "auth" {
		r.Token, _, _ = strings.Cut(rest, " ")
		return r
	}
	if verb == "resume" {
		r.Session, _, _ = strings.Cut(rest, " ")
		return r
	}
	r.RoomGiven = spoken
	r.Room, r.Text, _ = strings.Cut(rest, " ")
	second, _, _ := strings.Cut(r.Text, " ")
	r.setParam(r.Room, second)
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
	r := Request{Verb: "action"}
	r.setAction(members)
	return r
}
