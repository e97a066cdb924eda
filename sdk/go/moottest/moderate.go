//go:build !wasm

package moottest

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"strings"
	"time"
	"unicode"

	moot "github.com/mootchat/moot/sdk/go"
)

// Removal is the removal of a connection from a room, or its end.
type Removal struct {
	Connection string
	Room       string // "": the connection is closed
	Reason     string
}

// Amendment is a message that the module retracts or edits.
type Amendment struct {
	Room, ID string
	Message  string // the new text of an edit
	JSON     bool   // Message is JSON text
}

const (
	maxUser    = 256 // bytes, as the others
	maxReason  = 256
	maxRooms   = 400
	maxNote    = 1024
	maxRemoval = 120
	maxName    = 256
	maxID      = 24
)

// SanctionSet implements [moot.Imports].
func (h *Host) SanctionSet(json string) int32 { return h.sanction(json, &h.sanctions) }

// SanctionPardon implements [moot.Imports].
func (h *Host) SanctionPardon(json string) int32 { return h.sanction(json, &h.pardons) }

func (h *Host) sanction(text string, list *[]moot.Sanction) int32 {
	if !h.may("sanctions") {
		return notGranted
	}
	var s struct {
		User, Address, Rooms, Reason, Note string
		Kind                               moot.Kind
		TTL                                int64
	}
	if json.Unmarshal([]byte(text), &s) != nil {
		return badPointer
	}
	switch {
	case (s.User == "") == (s.Address == ""), s.Address != "" && !network(s.Address),
		s.Kind != moot.Mute && s.Kind != moot.Shadow && s.Kind != moot.Ban, s.TTL < 0, strings.Count(s.Rooms, "*") > 1,
		len(s.User) > maxUser, len(s.Rooms) > maxRooms, len(s.Reason) > maxReason, len(s.Note) > maxNote,
		list == &h.pardons && (s.TTL != 0 || s.Reason != "" || s.Note != ""):
		return badPointer
	case h.effects() == maxEffects:
		return overBudget
	}
	if s.Rooms == "" {
		s.Rooms = "*"
	}
	*list = append(*list, moot.Sanction{User: s.User, Address: s.Address, Kind: s.Kind, Rooms: s.Rooms,
		TTL: time.Duration(s.TTL) * time.Millisecond, Reason: s.Reason, Note: s.Note})
	return 0
}

func network(text string) bool {
	_, err := netip.ParseAddr(text)
	if err != nil {
		_, err = netip.ParsePrefix(text)
	}
	return err == nil
}

// MemberRemove implements [moot.Imports].
func (h *Host) MemberRemove(connection, room, reason string) int32 {
	if room == "" || len(room) > maxName {
		return badPointer
	}
	return h.removal(Removal{connection, room, reason})
}

// ConnectionClose implements [moot.Imports].
func (h *Host) ConnectionClose(connection, reason string) int32 {
	return h.removal(Removal{Connection: connection, Reason: reason})
}

func (h *Host) removal(r Removal) int32 {
	switch {
	case !h.may("members"):
		return notGranted
	case len(r.Reason) > maxRemoval:
		return tooLarge
	case r.Connection == "" || len(r.Connection) > maxName:
		return badPointer
	case h.effects() == maxEffects:
		return overBudget
	}
	h.removals = append(h.removals, r)
	return 0
}

// UserSet implements [moot.Imports].
func (h *Host) UserSet(user string) int32 {
	switch has := cmp.Or(h.named, h.user); {
	case !h.may("identity"), h.hook != "connect" && h.hook != "action":
		return notGranted
	case len(user) > maxUser:
		return tooLarge
	case !h.hasConnection:
		return absent
	case user == "" || strings.ContainsFunc(user, unicode.IsControl):
		return badPointer
	case has == user:
		return 0
	case has != "":
		return notGranted
	case h.effects() == maxEffects:
		return overBudget
	}
	h.named = user
	return 0
}

// MessageRetract implements [moot.Imports].
func (h *Host) MessageRetract(room, id string) int32 {
	return h.amendment(Amendment{Room: room, ID: id}, &h.retracted)
}

// MessageEdit implements [moot.Imports].
func (h *Host) MessageEdit(kind int32, room, id, body string) int32 {
	switch {
	case !h.may("amend"):
		return notGranted
	case len(body) > maxResult:
		return tooLarge
	case body == "", kind < 0, kind > 1, kind == 1 && !valid(body):
		return badPointer
	}
	return h.amendment(Amendment{Room: room, ID: id, Message: body, JSON: kind == 1}, &h.edited)
}

func (h *Host) amendment(a Amendment, list *[]Amendment) int32 {
	switch {
	case !h.may("amend"):
		return notGranted
	case len(a.Room) > maxName, len(a.ID) > maxID:
		return tooLarge
	case a.Room == "", a.ID == "", strings.Trim(a.ID, idLetters) != "":
		return badPointer
	case h.effects() == maxEffects:
		return overBudget
	}
	*list = append(*list, a)
	return 0
}

// idLetters are the characters of message ids.
const idLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// maxEffects limits the effects of one call, besides emits.
const maxEffects = 16

// effects returns the number of effects of the call, besides emits.
func (h *Host) effects() int {
	n := len(h.properties) + len(h.created) + len(h.destroyed) + len(h.sanctions) + len(h.pardons) + len(h.removals) + len(h.retracted) + len(h.edited)
	if h.named != "" {
		n++
	}
	return n
}
