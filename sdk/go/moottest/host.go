//go:build !wasm

package moottest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

// Host implements the host functions. Tests may set and read its fields between
// calls.
type Host struct {
	Clock   time.Time         // the current time
	KV      map[string]string // the module's store; expired keys are removed
	Rooms   map[string]int    // number of members by room
	Metrics map[string]int64
	Logged  []string // lines such as "info hello"

	capabilities                  []string
	say, hasConnection            bool
	room                          string
	expires                       map[string]time.Time
	buckets                       map[string]bucket
	emitted                       []moot.Emit
	properties                    map[string]string
	created, destroyed, permitted []string
	sanctions, pardons            []moot.Sanction
	removals                      []Removal
	retracted, edited             []Amendment
	hook, user, named             string // user: of the connection; named: by the call
}

type bucket struct {
	tokens float64
	at     time.Time
}

// Numbers of the host's errors.
const (
	absent      = -1
	notGranted  = -2
	overBudget  = -3
	badPointer  = -4
	tooLarge    = -5
	unavailable = -6

	maxEmits  = 4
	maxResult = 64 << 10
)

func (h *Host) init(capabilities []string) {
	h.Clock = time.UnixMilli(1_700_000_000_000)
	h.KV, h.Rooms, h.Metrics = map[string]string{}, map[string]int{}, map[string]int64{}
	h.expires, h.buckets = map[string]time.Time{}, map[string]bucket{}
	for _, c := range capabilities {
		if names, ok := strings.CutPrefix(c, "properties:"); ok {
			h.permitted = append(h.permitted, strings.Split(names, ",")...)
		} else {
			h.capabilities = append(h.capabilities, c)
		}
	}
}

func (h *Host) begin(hook int, e *Event) {
	h.say, h.room, h.hasConnection = hooks[hook] == "say", e.Room, e.Connection != nil
	h.emitted, h.properties, h.created, h.destroyed = nil, nil, nil, nil
	h.sanctions, h.pardons, h.removals = nil, nil, nil
	h.retracted, h.edited = nil, nil
	h.hook, h.user, h.named = hooks[hook], "", ""
	if e.Connection != nil {
		h.user = e.Connection.User
	}
}

func (h *Host) granted(capability string) bool { return slices.Contains(h.capabilities, capability) }

// may reports whether the module may change something that needs capability: never
// at say.
func (h *Host) may(capability string) bool { return h.granted(capability) && !h.say }

// Log implements [moot.Imports].
func (h *Host) Log(level int32, text string) {
	h.Logged = append(h.Logged, fmt.Sprint([...]string{"debug", "info", "warn", "error"}[level], " ", text))
}

// NowMS implements [moot.Imports].
func (h *Host) NowMS() int64 { return h.Clock.UnixMilli() }

// Random implements [moot.Imports].
func (h *Host) Random(b []byte) int32 {
	if len(b) > maxResult {
		return tooLarge
	}
	rand.Read(b)
	return 0
}

// PropertySet implements [moot.Imports].
func (h *Host) PropertySet(name, json string) int32 {
	if h.say || !slices.Contains(h.permitted, name) {
		return notGranted
	}
	if !h.hasConnection {
		return absent
	}
	if json != "" && !valid(json) {
		return badPointer
	}
	if h.properties == nil {
		h.properties = map[string]string{}
	}
	h.properties[name] = json
	return 0
}

// RoomSize implements [moot.Imports].
func (h *Host) RoomSize() int32 {
	if h.say {
		return unavailable
	}
	return int32(h.Rooms[h.room])
}

// RoomGet implements [moot.Imports].
func (h *Host) RoomGet(room string, buf []byte) int32 {
	if !h.granted("rooms") {
		return notGranted
	}
	n, ok := h.Rooms[room]
	if !ok {
		return absent
	}
	return fill(buf, fmt.Sprintf(`{"room":%s,"membersCount":%d}`, moot.Quote(room), n))
}

// RoomCreate implements [moot.Imports].
func (h *Host) RoomCreate(room string) int32 {
	if !h.may("rooms") {
		return notGranted
	}
	h.created = append(h.created, room)
	return 0
}

// RoomDestroy implements [moot.Imports].
func (h *Host) RoomDestroy(room string) int32 {
	if !h.may("rooms") {
		return notGranted
	}
	h.destroyed = append(h.destroyed, room)
	return 0
}

// Emit implements [moot.Imports].
func (h *Host) Emit(kind int32, target, body string) int32 {
	if !h.may("emit") {
		return notGranted
	}
	if target == "" || kind > 5 || kind&1 != 0 && !valid(body) {
		return badPointer
	}
	if len(h.emitted) == maxEmits {
		return overBudget
	}
	var m moot.Emit
	switch {
	case kind&4 != 0:
		m.User = target
	case kind&2 != 0:
		m.Connection = target
	default:
		m.Room = target
	}
	if kind&1 != 0 {
		m.JSON = body
	} else {
		m.Text = body
	}
	h.emitted = append(h.emitted, m)
	return 0
}

// MetricAdd implements [moot.Imports].
func (h *Host) MetricAdd(name string, delta int64) int32 {
	h.Metrics[name] += delta
	return 0
}

func valid(text string) bool { return json.Valid([]byte(text)) }

// fill copies a text into a buffer of the guest, and returns its length.
func fill(buf []byte, s string) int32 {
	if len(s) <= len(buf) {
		copy(buf, s)
	}
	return int32(len(s))
}
