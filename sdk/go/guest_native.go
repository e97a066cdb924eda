//go:build !wasm

package moot

// Guest is a module in a native program, called with frames as the host calls it.
// Package moottest builds on it. It is for one goroutine at a time.
type Guest struct{ g instance }

// Imports implements the host functions of ABI.md in a native program. Negative
// results are the host's errors; a length greater than that of buf means that
// nothing was written.
type Imports interface {
	Log(level int32, text string)
	NowMS() int64
	Random(b []byte) int32
	PropertySet(name, json string) int32
	RoomGet(room string, buf []byte) int32
	RoomSize() int32
	RoomCreate(room string) int32
	RoomDestroy(room string) int32
	KVGet(key string, buf []byte) int32
	KVSet(key, value string, ttlMS int64) int32
	KVDel(key string) int32
	KVAdd(key string, delta, ttlMS int64, sum *int64) int32
	KVCAS(key, old, value string, ttlMS int64) int32
	RateTake(key string, tokens, perMS, burst int32) int32
	Emit(kind int32, target, body string) int32
	MetricAdd(name string, delta int64) int32
	SanctionSet(json string) int32
	SanctionPardon(json string) int32
	MemberRemove(connection, room, reason string) int32
	ConnectionClose(connection, reason string) int32
	UserSet(user string) int32
	MessageRetract(room, id string) int32
	MessageEdit(kind int32, room, id, body string) int32
}

type imports = Imports

// NewGuest makes a guest of m with that host. A nil host is for modules that call no
// host function.
func NewGuest(m Module, host Imports) *Guest {
	return &Guest{instance{module: m, host: Host{host}}}
}

// Manifest returns the module's manifest as JSON.
func (g *Guest) Manifest() string { return g.g.module.manifest() }

// Init passes the config to the module, a JSON object; "" is none. The error is the
// reason of the module's refusal.
func (g *Guest) Init(config string) error { return g.g.init([]byte(config)) }

// Call calls the hook that the frame names. The results are in frame; their pointers
// are offsets in Memory.
func (g *Guest) Call(frame []byte) int32 {
	g.g.memory = memory{bytes: make([]byte, 8)} // no result has the address 0
	return g.g.call(frame)
}

// Answer is like Call, for on_answer.
func (g *Guest) Answer(frame []byte) int32 {
	g.g.memory = memory{bytes: make([]byte, 8)}
	return g.g.answered(frame)
}

// Memory is the memory that the results of the last Call or Answer point to.
func (g *Guest) Memory() []byte { return g.g.memory.bytes }

// memory replaces the memory of a wasm instance: its addresses fit a result slot.
type memory struct{ bytes []byte }

func (m *memory) pointer(s string) uint32 {
	at := len(m.bytes)
	m.bytes = append(m.bytes, s...)
	return uint32(at)
}

func register(Module) {}

func rehearseModule(Module, string) {}
