package moot

import "unsafe"

// imports are the host functions. The linker removes those that a program does not
// call, so that it imports only functions that it needs a grant for.
type imports struct{}

//go:wasmimport moot_1 log
func hostLog(level int32, text string)

//go:wasmimport moot_1 now_ms
func hostNowMS() int64

//go:wasmimport moot_1 random
func hostRandom(p unsafe.Pointer, n uint32) int32

//go:wasmimport moot_1 property_set
func hostPropertySet(name, json string) int32

//go:wasmimport moot_1 room_get
func hostRoomGet(room string, p unsafe.Pointer, n uint32) int32

//go:wasmimport moot_1 room_size
func hostRoomSize() int32

//go:wasmimport moot_1 room_create
func hostRoomCreate(room string) int32

//go:wasmimport moot_1 room_destroy
func hostRoomDestroy(room string) int32

//go:wasmimport moot_1 kv_get
func hostKVGet(key string, p unsafe.Pointer, n uint32) int32

//go:wasmimport moot_1 kv_set
func hostKVSet(key, value string, ttl int64) int32

//go:wasmimport moot_1 kv_del
func hostKVDel(key string) int32

//go:wasmimport moot_1 kv_add
func hostKVAdd(key string, delta, ttl int64, sum unsafe.Pointer) int32

//go:wasmimport moot_1 kv_cas
func hostKVCAS(key, old, value string, ttl int64) int32

//go:wasmimport moot_1 rate_take
func hostRateTake(key string, tokens, perMS, burst int32) int32

//go:wasmimport moot_1 emit
func hostEmit(kind int32, target, body string) int32

//go:wasmimport moot_1 metric_add
func hostMetricAdd(name string, delta int64) int32

//go:wasmimport moot_1 sanction_set
func hostSanctionSet(json string) int32

//go:wasmimport moot_1 sanction_pardon
func hostSanctionPardon(json string) int32

//go:wasmimport moot_1 member_remove
func hostMemberRemove(connection, room, reason string) int32

//go:wasmimport moot_1 connection_close
func hostConnectionClose(connection, reason string) int32

//go:wasmimport moot_1 user_set
func hostUserSet(user string) int32

//go:wasmimport moot_1 message_retract
func hostMessageRetract(room, id string) int32

//go:wasmimport moot_1 message_edit
func hostMessageEdit(kind int32, room, id, body string) int32

func (imports) Log(level int32, text string)        { hostLog(level, text) }
func (imports) NowMS() int64                        { return hostNowMS() }
func (imports) Random(b []byte) int32               { return hostRandom(start(b), uint32(len(b))) }
func (imports) PropertySet(name, json string) int32 { return hostPropertySet(name, json) }
func (imports) RoomGet(room string, buf []byte) int32 {
	return hostRoomGet(room, start(buf), uint32(len(buf)))
}
func (imports) RoomSize() int32               { return hostRoomSize() }
func (imports) RoomCreate(room string) int32  { return hostRoomCreate(room) }
func (imports) RoomDestroy(room string) int32 { return hostRoomDestroy(room) }
func (imports) KVGet(key string, buf []byte) int32 {
	return hostKVGet(key, start(buf), uint32(len(buf)))
}
func (imports) KVSet(key, value string, ttl int64) int32 { return hostKVSet(key, value, ttl) }
func (imports) KVDel(key string) int32                   { return hostKVDel(key) }
func (imports) KVAdd(key string, delta, ttl int64, sum *int64) int32 {
	return hostKVAdd(key, delta, ttl, unsafe.Pointer(sum))
}
func (imports) KVCAS(key, old, value string, ttl int64) int32 { return hostKVCAS(key, old, value, ttl) }
func (imports) RateTake(key string, tokens, perMS, burst int32) int32 {
	return hostRateTake(key, tokens, perMS, burst)
}
func (imports) Emit(kind int32, target, body string) int32 { return hostEmit(kind, target, body) }
func (imports) MetricAdd(name string, delta int64) int32   { return hostMetricAdd(name, delta) }

func (imports) SanctionSet(json string) int32    { return hostSanctionSet(json) }
func (imports) SanctionPardon(json string) int32 { return hostSanctionPardon(json) }
func (imports) MemberRemove(connection, room, reason string) int32 {
	return hostMemberRemove(connection, room, reason)
}
func (imports) ConnectionClose(connection, reason string) int32 {
	return hostConnectionClose(connection, reason)
}
func (imports) UserSet(user string) int32            { return hostUserSet(user) }
func (imports) MessageRetract(room, id string) int32 { return hostMessageRetract(room, id) }
func (imports) MessageEdit(kind int32, room, id, body string) int32 {
	return hostMessageEdit(kind, room, id, body)
}

func start(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
