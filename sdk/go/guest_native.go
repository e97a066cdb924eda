//go:build !wasm

package moot

// Guest is a module in a native program, called with frames as the host would:
// what package moottest stands on. It is for one goroutine at a time.
type Guest struct{ g instance }

// Imports answers the host functions, as ABI.md has them, in a native program.
// Numbers below zero are the host's errors; a length longer than buf says that
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
}

type imports = Imports

// NewGuest is m on that host. A nil host is one that is never asked.
func NewGuest(m Module, host Imports) *Guest {
	return &Guest{instance{module: m, host: Host{host}}}
}

// Manifest is what the module says of itself, as JSON.
func (g *Guest) Manifest() string { return g.g.module.manifest() }

// Init gives the module its config, a JSON object; "" is none. The error is the
// reason it gives for refusing.
func (g *Guest) Init(config string) error { return g.g.init([]byte(config)) }

// Call asks the hook that frame is of. The results are in frame; their pointers
// are offsets in Memory.
func (g *Guest) Call(frame []byte) int32 {
	g.g.memory = memory{bytes: make([]byte, 8)} // nothing is at 0
	return g.g.call(frame)
}

// Memory is what the results of the last Call point into.
func (g *Guest) Memory() []byte { return g.g.memory.bytes }

// memory stands in for that of a wasm instance, whose addresses fit a result
// slot.
type memory struct{ bytes []byte }

func (m *memory) pointer(s string) uint32 {
	at := len(m.bytes)
	m.bytes = append(m.bytes, s...)
	return uint32(at)
}

func register(Module) {}
