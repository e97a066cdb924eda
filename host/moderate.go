package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/host/abi"
)

// sanction is the JSON that a module passes for a sanction. A pardon has the first four fields.
type sanction struct {
	User    string          `json:"user"`
	Address string          `json:"address"`
	Kind    moderation.Kind `json:"kind"`
	Rooms   *string         `json:"rooms"` // nil: all
	TTL     int64           `json:"ttl"`   // ms; 0: without an end
	Reason  string          `json:"reason"`
	Note    string          `json:"note"`
}

// maxTTL limits the time of a sanction, in ms, as the server API does: 100 years.
const maxTTL = 3_153_600_000_000

func (in *instance) sanctionSet(stack []uint64)    { result(stack, in.sanction(stack, false)) }
func (in *instance) sanctionPardon(stack []uint64) { result(stack, in.sanction(stack, true)) }

func (in *instance) sanction(stack []uint64, pardon bool) int32 {
	b, refused := in.bytes(stack[0], stack[1], abi.MaxSanction)
	if refused == 0 {
		refused = in.mayModerate()
	}
	if refused != 0 {
		return refused
	}
	e, err := parseSanction(b, pardon)
	if err != nil {
		name := abi.ImportSanctionSet
		if pardon {
			name = abi.ImportSanctionPardon
		}
		return in.badArgument(name, err)
	}
	e.Set.Module = in.generation.binding.module
	if err := e.Set.Identify(); err != nil { // the ID depends on the module
		return in.badArgument(abi.ImportSanctionSet, err)
	}
	return in.effect(hook.Effect{Sanction: e})
}

// parseSanction parses the argument of sanction_set or sanction_pardon. The error names the field.
func parseSanction(b []byte, pardon bool) (*hook.Sanction, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("the argument is not UTF-8")
	}
	var s sanction
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("the argument is not a JSON object of a sanction: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the argument has more than one JSON value")
	}
	switch {
	case s.TTL < 0 || s.TTL > maxTTL:
		return nil, fmt.Errorf("ttl: %d ms: use 1 to %d, or 0 for a sanction without an end", s.TTL, int64(maxTTL))
	case pardon && (s.TTL != 0 || s.Reason != "" || s.Note != ""):
		return nil, errors.New("a pardon has user or address, kind and rooms only")
	}
	e := &hook.Sanction{TTL: time.Duration(s.TTL) * time.Millisecond, Pardon: pardon,
		Set: moderation.Sanction{User: s.User, Kind: s.Kind, Rooms: moderation.AllRooms, Reason: s.Reason, Note: s.Note}}
	if s.Rooms != nil {
		e.Set.Rooms = *s.Rooms
	}
	if s.Address != "" {
		var err error
		if e.Set.Network, err = moderation.ParseNetwork(s.Address, false); err != nil {
			return nil, err
		}
	}
	return e, e.Set.Identify()
}

func (in *instance) memberRemove(stack []uint64) {
	room, refused := in.name(stack[2], stack[3], maxName)
	if refused == 0 && !validName(room) {
		refused = in.badArgument(abi.ImportMemberRemove, errors.New("room: it is empty or not a valid name"))
	}
	if refused == 0 {
		refused = in.removal(abi.ImportMemberRemove, room, [4]uint64{stack[0], stack[1], stack[4], stack[5]})
	}
	result(stack, refused)
}

func (in *instance) connectionClose(stack []uint64) {
	result(stack, in.removal(abi.ImportConnectionClose, "", [4]uint64(stack[:4])))
}

// removal records the removal of a connection from a room; "" closes the connection. args are the connection and the reason.
func (in *instance) removal(function, room string, args [4]uint64) int32 {
	connection, refused := in.name(args[0], args[1], maxName)
	if refused != 0 {
		return refused
	}
	reason, refused := in.name(args[2], args[3], abi.MaxRemoval)
	switch {
	case refused != 0:
		return refused
	case !validName(connection):
		return in.badArgument(function, errors.New("connection: it is empty or not an id"))
	}
	if refused := in.mayModerate(); refused != 0 {
		return refused
	}
	return in.effect(hook.Effect{Removal: &hook.Removal{Connection: connection, Room: room, Reason: reason, Module: in.generation.binding.module}})
}

// mayModerate returns the reason why the call under way may have no sanctions, removals and amendments; 0: it may.
func (in *instance) mayModerate() int32 {
	switch {
	case in.readOnly():
		return abi.NotGranted
	case in.event.Caused: // like emits
		in.generation.counters.lostEffects.Add(1)
		return abi.OverBudget
	}
	return 0
}

// badArgument writes the error to the module's log, because the result alone does not name the field.
func (in *instance) badArgument(function string, err error) int32 {
	in.logOutput(slog.LevelWarn, fmt.Sprintf("%s: %.300s", function, err))
	return abi.BadPointer
}

// moderating returns the effects for which [hook.Effect.Moderates] reports true; nil if there are none.
func moderating(effects []hook.Effect) (some []hook.Effect) {
	for i := range effects {
		if effects[i].Moderates() {
			some = append(some, effects[i])
		}
	}
	return some
}

// effectsInWords describes the user, the sanctions, the removals and the amendments of a decision; nil if there are none.
func effectsInWords(effects []hook.Effect) (words []string) {
	for i := range effects {
		switch s, r := effects[i].Sanction, effects[i].Removal; {
		case effects[i].Identity != nil:
			words = append(words, "user "+effects[i].Identity.User)
		case effects[i].Amend != nil:
			a, verb := effects[i].Amend, "retract"
			if a.Edit {
				verb = "edit"
			}
			words = append(words, fmt.Sprintf("%s message %s in %s", verb, a.ID, a.Room))
		case s != nil && s.Pardon:
			words = append(words, fmt.Sprintf("pardon %s of %s in %s", s.Set.Kind, s.Set.Subject(), s.Set.Rooms))
		case s != nil && s.TTL == 0:
			words = append(words, fmt.Sprintf("%s %s in %s", s.Set.Kind, s.Set.Subject(), s.Set.Rooms))
		case s != nil:
			words = append(words, fmt.Sprintf("%s %s in %s for %v", s.Set.Kind, s.Set.Subject(), s.Set.Rooms, s.TTL))
		case r != nil && r.Room == "":
			words = append(words, "close connection "+r.Connection)
		case r != nil:
			words = append(words, fmt.Sprintf("remove connection %s from %s", r.Connection, r.Room))
		}
	}
	return words
}
