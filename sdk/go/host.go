package moot

import "time"

// Host has the host functions that a module may call while it handles an event,
// through the [Event]. The module's entry must grant some of them: the method names
// the capability, which the module lists in its Capabilities. At say, methods that
// change something return ErrNotGranted, and KV reads the node's own recent copy.
type Host struct{ raw imports }

// Errors of the host.
const (
	ErrAbsent      hostError = -1 // the key, room or property does not exist
	ErrNotGranted  hostError = -2 // the capability is not granted, or the hook is say
	ErrOverBudget  hostError = -3 // a budget or rate of the call is exceeded
	ErrBadPointer  hostError = -4 // an error in this package
	ErrTooLarge    hostError = -5
	ErrUnavailable hostError = -6 // the store does not answer
)

type hostError int32

func (e hostError) Error() string {
	switch e {
	case ErrAbsent:
		return "absent"
	case ErrNotGranted:
		return "not granted"
	case ErrOverBudget:
		return "over budget"
	case ErrBadPointer:
		return "bad pointer"
	case ErrTooLarge:
		return "too large"
	}
	return "unavailable"
}

func result(n int32) (int, error) {
	if n < 0 {
		return 0, hostError(n)
	}
	return int(n), nil
}

func failure(n int32) error {
	_, err := result(n)
	return err
}

// fetch calls get with a buffer, and again with a larger one if the value does not
// fit.
func fetch(get func(buf []byte) int32) (string, error) {
	for buf := make([]byte, 256); ; {
		n, err := result(get(buf))
		if err != nil {
			return "", err
		}
		if n <= len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, n)
	}
}

// Level is the severity of a log line.
type Level int32

// The levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line to the host's log.
func (h Host) Log(level Level, text string) { h.raw.Log(int32(level), text) }

// Now is the time, to the millisecond.
func (h Host) Now() time.Time { return time.UnixMilli(h.raw.NowMS()) }

// Random fills b, at most 64 KiB, with random bytes.
func (h Host) Random(b []byte) error { return failure(h.raw.Random(b)) }

// SetProperty sets a property of the event's connection to a JSON text, see
// [Quote]; "" removes it. It is set once the whole chain allows. Needs
// "properties:NAME".
func (h Host) SetProperty(name, json string) error { return failure(h.raw.PropertySet(name, json)) }

// SetUser names the user of the event's connection, at most 256 bytes, at connect or an
// action. It is set when the whole chain has allowed the event, and is like the user of
// a token from then on: sanctions of the user apply, and messages name the user. It returns
// ErrNotGranted if the connection has another user, which cannot be changed. Needs
// "identity".
func (h Host) SetUser(user string) error { return failure(h.raw.UserSet(user)) }

// RoomSize is the number of members of the event's room on all nodes; at say it
// returns ErrUnavailable.
func (h Host) RoomSize() (int, error) { return result(h.raw.RoomSize()) }

// FindRoom describes the room of that name by the JSON object {"room",
// "membersCount"}; ErrAbsent if there is none. Needs "rooms".
func (h Host) FindRoom(name string) (string, error) {
	return fetch(func(buf []byte) int32 { return h.raw.RoomGet(name, buf) })
}

// CreateRoom creates a room once the whole chain allows. Needs "rooms".
func (h Host) CreateRoom(name string) error { return failure(h.raw.RoomCreate(name)) }

// DestroyRoom destroys a room once the whole chain allows. Needs "rooms".
func (h Host) DestroyRoom(name string) error { return failure(h.raw.RoomDestroy(name)) }

// Emit is a message of a module, to Room or, if set, to one Connection or to all
// connections of a User of the tenant. Its content is Text or, if set, JSON.
type Emit struct {
	Room, Connection, User string
	Text, JSON             string
}

// Emit sends a message once the whole chain allows, at most 4 in one call of
// the module. Needs "emit".
func (h Host) Emit(m Emit) error {
	kind, target, body := int32(0), m.Room, m.Text
	if m.JSON != "" {
		kind, body = kind|1, m.JSON
	}
	switch {
	case m.User != "":
		kind, target = kind|4, m.User
	case m.Connection != "":
		kind, target = kind|2, m.Connection
	}
	return failure(h.raw.Emit(kind, target, body))
}

// Count adds delta to the module's counter of that name.
func (h Host) Count(metric string, delta int64) error { return failure(h.raw.MetricAdd(metric, delta)) }

// Take takes tokens from the bucket key, which holds at most burst, starts full and
// gains one token per per. It returns 0 if the tokens were taken, otherwise the time
// until they are available. All nodes share the bucket. Needs "rate".
func (h Host) Take(key string, tokens, burst int, per time.Duration) (time.Duration, error) {
	ms, err := result(h.raw.RateTake(key, int32(tokens), int32(per.Milliseconds()), int32(burst)))
	return time.Duration(ms) * time.Millisecond, err
}

// KV is the module's own store in its tenant. Needs "kv".
func (h Host) KV() KV { return KV(h) }

// KV is a store of texts by key. A time to live of 0 means no expiry.
type KV struct{ raw imports }

// Get returns the value of key, or ErrAbsent.
func (kv KV) Get(key string) (string, error) {
	return fetch(func(buf []byte) int32 { return kv.raw.KVGet(key, buf) })
}

// Set sets the value of key.
func (kv KV) Set(key, value string, ttl time.Duration) error {
	return failure(kv.raw.KVSet(key, value, ttl.Milliseconds()))
}

// Delete removes key and reports whether it existed.
func (kv KV) Delete(key string) (bool, error) {
	n, err := result(kv.raw.KVDel(key))
	return n == 1, err
}

// Add adds delta to the number at key, which starts at 0, and returns the sum.
func (kv KV) Add(key string, delta int64, ttl time.Duration) (int64, error) {
	var sum int64
	n := kv.raw.KVAdd(key, delta, ttl.Milliseconds(), &sum)
	return sum, failure(n)
}

// Swap sets key to value if its value is old ("" means absent), and reports
// whether it did.
func (kv KV) Swap(key, old, value string, ttl time.Duration) (bool, error) {
	n, err := result(kv.raw.KVCAS(key, old, value, ttl.Milliseconds()))
	return n == 1, err
}
