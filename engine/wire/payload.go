package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// ErrPayload is the error that errors of ParsePayload wrap.
var ErrPayload = errors.New("not a chat payload")

// AppendPayload appends the JSON text of p: "message", "room", "from", "context", "sentAt", "id",
// "user", "held", "editedAt" and "editedBy" if they are not empty, the members of Extra, and "offset" and "epoch" if there is a
// position. It always appends one valid JSON object on one line. If the JSON of a Message is not valid, it becomes a string; if Extra is
// not valid, it is omitted.
func AppendPayload(dst []byte, p Payload) []byte {
	dst = append(dst, `{"message":`...)
	dst = appendMessage(dst, p.Message)
	dst = AppendString(append(dst, `,"room":`...), p.Room)
	dst = AppendString(append(dst, `,"from":`...), p.From)
	dst = AppendString(append(dst, `,"context":`...), p.Context)
	dst = strconv.AppendInt(append(dst, `,"sentAt":`...), p.SentAt, 10)
	if p.ID != "" {
		dst = AppendString(append(dst, `,"id":`...), p.ID)
	}
	if p.User != "" {
		dst = AppendString(append(dst, `,"user":`...), p.User)
	}
	if p.Held != "" {
		dst = AppendString(append(dst, `,"held":`...), p.Held)
	}
	if p.EditedAt != 0 {
		dst = strconv.AppendInt(append(dst, `,"editedAt":`...), p.EditedAt, 10)
	}
	if p.EditedBy != "" {
		dst = AppendString(append(dst, `,"editedBy":`...), p.EditedBy)
	}
	if p.Extra != nil && CheckExtra(p.Extra) == nil {
		dst = appendMembers(dst, p.Extra)
	}
	return append(appendPosition(dst, p.At), '}')
}

// AppendPlain is AppendPlaced without the members that messages of ActionHero do not have: "id", "user", "held",
// "editedAt" and "editedBy". payload must be a result of AppendPayload.
func AppendPlain(dst, payload []byte, at Position) []byte {
	if len(payload) < 2 || payload[0] != '{' || payload[len(payload)-1] != '}' {
		return append(dst, payload...)
	}
	start := len(dst)
	for w := walkInto(payload); !w.done(); {
		switch m := w.member(); string(m.key) {
		case `"id"`, `"user"`, `"held"`, `"editedAt"`, `"editedBy"`:
		default:
			dst = append(append(append(append(dst, ','), m.key...), ':'), m.value...)
		}
	}
	if len(dst) == start {
		return append(dst, payload...)
	}
	dst[start] = '{'
	return append(appendPosition(dst, at), '}')
}

// appendPosition appends the members of a position after other members. It appends
// nothing for the zero Position.
func appendPosition(dst []byte, at Position) []byte {
	if at == (Position{}) {
		return dst
	}
	dst = strconv.AppendUint(append(dst, `,"offset":`...), at.Offset, 10)
	return AppendString(append(dst, `,"epoch":`...), at.Epoch)
}

// AppendPlaced appends a published payload with a position, in the form that
// AppendPayload uses for At. If the payload is not an object, it is appended unchanged.
func AppendPlaced(dst, payload []byte, at Position) []byte {
	end := len(payload) - 1
	if end < 2 || payload[end] != '}' {
		return append(dst, payload...)
	}
	return append(appendPosition(append(dst, payload[:end]...), at), '}')
}

func appendMessage(dst []byte, m Message) []byte {
	if m.JSON {
		if value, err := check([]byte(m.Text)); err == nil {
			return appendJSON(dst, value)
		}
	}
	return AppendString(dst, m.Text)
}

// ParsePayload is the inverse of AppendPayload for payloads without a position, which
// nodes publish. All five members must be present and have the right type. The other
// members become Extra; a reserved name is an error. "id", "user", "held" and the members of amendments were not reserved
// in earlier versions: ParsePayload ignores them if they have another type. If several members have the same
// name, the last one counts. p shares no memory with b.
func ParsePayload(b []byte) (p Payload, err error) {
	value, err := check(b)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if value[0] != '{' {
		return p, fmt.Errorf("%w: it is not a JSON object", ErrPayload)
	}
	var few [16]member
	missing := 5
	for _, m := range collect(few[:0], value) {
		ok := true
		switch name := m.name(); string(name) {
		case "message":
			p.Message = messageOf(m.value)
		case "room":
			ok = setString(&p.Room, m.value) == ""
		case "from":
			ok = setString(&p.From, m.value) == ""
		case "context":
			ok = setString(&p.Context, m.value) == ""
		case "sentAt":
			p.SentAt, err = strconv.ParseInt(string(m.value), 10, 64)
			ok = err == nil
		case "id":
			_ = setString(&p.ID, m.value)
			continue
		case "user":
			_ = setString(&p.User, m.value)
			continue
		case "held":
			_ = setString(&p.Held, m.value)
			continue
		case "editedAt":
			p.EditedAt, _ = strconv.ParseInt(string(m.value), 10, 64)
			continue
		case "editedBy":
			_ = setString(&p.EditedBy, m.value)
			continue
		default:
			if slices.Contains(laterReserved[:], string(name)) {
				continue
			}
			if isReserved(name) {
				return p, fmt.Errorf("%w: it has the reserved member %q", ErrPayload, name)
			}
			p.Extra = appendExtra(p.Extra, m)
			continue
		}
		if !ok {
			return p, fmt.Errorf("%w: member %s is %.20q", ErrPayload, m.key, m.value)
		}
		missing--
	}
	if missing > 0 {
		return p, fmt.Errorf("%w: members are missing", ErrPayload)
	}
	if p.Extra != nil {
		p.Extra = append(p.Extra, '}')
	}
	return p, nil
}

// PayloadID returns the member "id" of a result of AppendPayload; "" if it has none, or if payload is not a JSON object.
func PayloadID(payload []byte) string {
	value, err := check(payload)
	if err != nil || value[0] != '{' {
		return ""
	}
	id := ""
	for w := walkInto(value); !w.done(); {
		if m := w.member(); string(m.key) == `"id"` {
			_ = setString(&id, m.value)
		}
	}
	return id
}

// AppendAmendment appends an amendment as members receive it. It adds to payload the id of the message, as the first member
// "edits" or "retracts", and the position of the amendment. payload must be a JSON object with at least one member.
func AppendAmendment(dst []byte, retract bool, id string, payload []byte, at Position) []byte {
	if len(payload) < 3 || payload[0] != '{' {
		return append(dst, payload...)
	}
	name := `{"edits":`
	if retract {
		name = `{"retracts":`
	}
	dst = AppendString(append(dst, name...), id)
	return AppendPlaced(append(dst, ','), payload[1:], at)
}

func messageOf(value []byte) Message {
	if value[0] == '"' {
		return Message{Text: unquote(value)}
	}
	return Message{Text: string(value), JSON: true}
}

func appendExtra(dst []byte, m member) []byte {
	if dst == nil {
		dst = append(dst, '{')
	} else {
		dst = append(dst, ',')
	}
	return append(append(append(dst, m.key...), ':'), m.value...)
}

// CheckExtra returns an error unless extra can be merged into a payload: it must be a JSON
// object without the reserved names of a payload.
func CheckExtra(extra []byte) error {
	return checkMerge("extra", extra, reservedInExtra[:])
}

// CheckReply is like CheckExtra, but for the reply of an action, which has other
// reserved names.
func CheckReply(reply []byte) error { return checkMerge("reply", reply, nil) }

func checkMerge(what string, object []byte, also []string) error {
	value, err := check(object)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if value[0] != '{' {
		return fmt.Errorf("%s is not a JSON object", what)
	}
	for w := walkInto(value); !w.done(); {
		name := w.member().name()
		if slices.Contains(also, string(name)) || isReserved(name) {
			return fmt.Errorf("%s must not use the reserved name %q", what, name)
		}
	}
	return nil
}

func isReserved(name []byte) bool {
	for _, r := range reserved {
		if string(name) == r {
			return true
		}
	}
	return false
}

// ErrRoomName is the error of ValidRoom.
var ErrRoomName = errors.New("invalid room name")

const maxRoomName = 200

// ValidRoom returns ErrRoomName unless name is a valid room name. A valid name is 1 to 200
// bytes of UTF-8 without control characters.
func ValidRoom(name string) error {
	if name == "" || len(name) > maxRoomName || !utf8.ValidString(name) {
		return ErrRoomName
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return ErrRoomName
		}
	}
	return nil
}
