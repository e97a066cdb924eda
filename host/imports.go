package host

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/meter"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// imports are the functions of the contract by name. The upper half of an i32 on the stack is undefined.
var imports = map[string]hostFunction{
	abi.ImportLog:         {signature(nil, i32, i32, i32), "", (*instance).log, timed},
	abi.ImportNow:         {signature(is(i64)), "", (*instance).now, quick},
	abi.ImportRandom:      {signature(is(i32), i32, i32), "", (*instance).random, timed},
	abi.ImportConfigGet:   {signature(is(i32), i32, i32, i32, i32), "", (*instance).configGet, quick},
	abi.ImportPropertyGet: {signature(is(i32), i32, i32, i32, i32, i32), "", (*instance).propertyGet, quick},
	abi.ImportPropertySet: {signature(is(i32), i32, i32, i32, i32), abi.CapabilityProperties, (*instance).propertySet, timed},
	abi.ImportRoomGet:     {signature(is(i32), i32, i32, i32, i32), abi.CapabilityRooms, (*instance).roomGet, timed},
	abi.ImportRoomSize:    {signature(is(i32)), "", (*instance).roomSize, timed},
	abi.ImportRoomCreate:  {signature(is(i32), i32, i32), abi.CapabilityRooms, (*instance).roomCreate, timed},
	abi.ImportRoomDestroy: {signature(is(i32), i32, i32), abi.CapabilityRooms, (*instance).roomDestroy, timed},
	abi.ImportKVGet:       {signature(is(i32), i32, i32, i32, i32), abi.CapabilityKV, (*instance).kvGet, timed},
	abi.ImportKVSet:       {signature(is(i32), i32, i32, i32, i32, i64), abi.CapabilityKV, (*instance).kvSet, timed},
	abi.ImportKVDel:       {signature(is(i32), i32, i32), abi.CapabilityKV, (*instance).kvDel, timed},
	abi.ImportKVAdd:       {signature(is(i32), i32, i32, i64, i64, i32), abi.CapabilityKV, (*instance).kvAdd, timed},
	abi.ImportKVCAS:       {signature(is(i32), i32, i32, i32, i32, i32, i32, i64), abi.CapabilityKV, (*instance).kvCAS, timed},
	abi.ImportRateTake:    {signature(is(i32), i32, i32, i32, i32, i32), abi.CapabilityRate, (*instance).rateTake, timed},
	abi.ImportEmit:        {signature(is(i32), i32, i32, i32, i32, i32), abi.CapabilityEmit, (*instance).emit, timed},
	abi.ImportMetricAdd:   {signature(is(i32), i32, i32, i64), "", (*instance).metricAdd, quick},

	abi.ImportSanctionSet:     {signature(is(i32), i32, i32), abi.CapabilitySanctions, (*instance).sanctionSet, timed},
	abi.ImportSanctionPardon:  {signature(is(i32), i32, i32), abi.CapabilitySanctions, (*instance).sanctionPardon, timed},
	abi.ImportMemberRemove:    {signature(is(i32), i32, i32, i32, i32, i32, i32), abi.CapabilityMembers, (*instance).memberRemove, timed},
	abi.ImportConnectionClose: {signature(is(i32), i32, i32, i32, i32), abi.CapabilityMembers, (*instance).connectionClose, timed},
	abi.ImportUserSet:         {signature(is(i32), i32, i32), abi.CapabilityIdentity, (*instance).userSet, timed},
	abi.ImportMessageRetract:  {signature(is(i32), i32, i32, i32, i32), abi.CapabilityAmend, (*instance).messageRetract, timed},
	abi.ImportMessageEdit:     {signature(is(i32), i32, i32, i32, i32, i32, i32, i32), abi.CapabilityAmend, (*instance).messageEdit, timed},
}

// Values of hostFunction.timed.
const (
	quick = false
	timed = true
)

func is(results ...byte) []byte { return results }

func signature(results []byte, params ...byte) meter.Signature {
	return meter.Signature{Params: params, Results: results}
}

// Limits of the data that a module passes to the host in one call.
const (
	maxLog    = 4 << 10  // bytes of a log line
	maxRandom = 64 << 10 // random bytes of one call
	maxKey    = 256      // bytes of a key
	maxMetric = 64       // bytes of a metric's name
)

// result sets the result of a host function to n.
func result(stack []uint64, n int32) { stack[0] = uint64(uint32(n)) }

// bytes returns the guest's memory at p, at most limit bytes, and charges the guest for it. If refused is not 0, the
// host function must return it.
func (in *instance) bytes(p, n uint64, limit uint32) (b []byte, refused int32) {
	if uint32(n) > limit {
		return nil, abi.TooLarge
	}
	in.charge(uint32(n))
	b, ok := in.mem.Read(uint32(p), uint32(n))
	if !ok {
		return nil, abi.BadPointer
	}
	return b, 0
}

// name returns a copy of a short text in the guest's memory.
func (in *instance) name(p, n uint64, limit uint32) (s string, refused int32) {
	b, refused := in.bytes(p, n, limit)
	if refused == 0 && !utf8.Valid(b) {
		return "", abi.BadPointer
	}
	return string(b), refused
}

// readQuery reads a name and checks the buffer for the answer: the first four parameters of args.
func (in *instance) readQuery(args []uint64, limit uint32) (name string, refused int32) {
	if _, ok := in.mem.Read(uint32(args[2]), uint32(args[3])); !ok {
		return "", abi.BadPointer
	}
	return in.name(args[0], args[1], limit)
}

// give writes a value into the guest's buffer if it fits, and returns the length of the value.
func (in *instance) give(value []byte, p, capacity uint64) int32 {
	if uint32(len(value)) > uint32(capacity) {
		return int32(len(value))
	}
	in.charge(uint32(len(value)))
	in.mem.Write(uint32(p), value) // the buffer was checked
	return int32(len(value))
}

func (in *instance) log(stack []uint64) {
	b, refused := in.bytes(stack[1], min(uint64(uint32(stack[2])), maxLog), maxLog)
	if refused != 0 {
		return
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	in.logOutput(levels[min(uint32(stack[0]), 3)], strings.ToValidUTF8(string(b), "?"))
}

func (in *instance) now(stack []uint64) { stack[0] = uint64(time.Now().UnixMilli()) }

func (in *instance) random(stack []uint64) {
	b, refused := in.bytes(stack[0], stack[1], maxRandom)
	if refused == 0 {
		_, _ = rand.Read(b) // never fails
	}
	result(stack, refused)
}

func (in *instance) configGet(stack []uint64) {
	key, refused := in.readQuery(stack, maxKey)
	value := in.generation.settings[key]
	switch {
	case refused == 0 && value == nil:
		refused = abi.Absent
	case refused == 0:
		refused = in.give(value, stack[2], stack[3])
	}
	result(stack, refused)
}

func (in *instance) propertyGet(stack []uint64) {
	name, refused := in.readQuery(stack[1:], maxKey)
	if refused != 0 {
		result(stack, refused)
		return
	}
	value := in.property(uint32(stack[0]), name)
	if value == nil {
		result(stack, abi.Absent)
		return
	}
	result(stack, in.give(value, stack[3], stack[4]))
}

// property returns a property of the event's connection (0) or of receiver i-1, if the module may see it.
func (in *instance) property(i uint32, name string) json.RawMessage {
	var of *hook.Profile
	shows := &in.generation.sees.conn
	switch {
	case i == 0 && in.event != nil:
		of = in.event.Conn
	case i > 0 && uint64(i) <= uint64(len(in.units)):
		of, shows = in.units[i-1].profile, &in.generation.perUnit
	}
	if of == nil {
		return nil
	}
	// A module may read thousands of properties, and the guest pays for one lookup only.
	if _, shown := slices.BinarySearch(shows.properties, name); !shown {
		return nil
	}
	return of.Property(name)
}

// members returns the number of members of a room.
func (in *instance) members(room string) (n int32) {
	rooms := in.generation.host.cfg.Rooms
	switch {
	case room == "":
		return abi.Absent
	case rooms == nil || in.readOnly():
		return abi.Unavailable // say must not wait for other nodes
	}
	count, err := rooms.Members(in.wait(), cluster.RoomID{Tenant: in.generation.binding.tenant, Room: room})
	return in.outcome(int32(min(count, 1<<31-1)), err)
}

func (in *instance) roomSize(stack []uint64) {
	room := ""
	if in.event != nil {
		room = in.event.Room
	}
	result(stack, in.members(room))
}

func (in *instance) roomGet(stack []uint64) {
	room, n := in.readQuery(stack, maxName)
	if n == 0 {
		n = in.members(room)
	}
	if n < 0 {
		result(stack, n)
		return
	}
	name, _ := json.Marshal(room) // a string
	value := append(append([]byte(`{"room":`), name...), `,"membersCount":`...)
	value = append(strconv.AppendInt(value, int64(n), 10), '}')
	result(stack, in.give(value, stack[2], stack[3]))
}

func (in *instance) metricAdd(stack []uint64) {
	name, refused := in.name(stack[0], stack[1], maxMetric)
	if refused == 0 && !in.generation.counters.add(name, int64(stack[2])) {
		refused = abi.OverBudget
	}
	result(stack, refused)
}
