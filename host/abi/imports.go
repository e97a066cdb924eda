package abi

// Host functions of [ImportModule]. p and l are a pointer and a length in guest memory,
// and cap is the size of a buffer. All are i32 unless stated otherwise. A function
// returns a value or a length, or one of the negative results. If the returned length
// is larger than cap, nothing was written.
//
//	log(level, p, l)                          level 0 debug, 1 info, 2 warn, 3 error; no result
//	now_ms() i64                              ms since 1970
//	random(p, l) i32                          0; fills l bytes, at most 64 KiB
//	config_get(kp, kl, buf, cap) i32          the value of a top-level key of the entry's config, as JSON
//	property_get(conn, kp, kl, buf, cap) i32  conn 0: the event's connection; 1+k: receiver k; the value as JSON
//	property_set(kp, kl, p, l) i32            on the event's connection; JSON; length 0 removes; properties:NAME
//	room_get(rp, rl, buf, cap) i32            {"room","membersCount"} as JSON; Absent if there is no such room; rooms
//	room_size() i32                           members of the event's room on all nodes; no grant needed
//	room_create(rp, rl) i32                   rooms
//	room_destroy(rp, rl) i32                  rooms
//	kv_get(kp, kl, buf, cap) i32              kv
//	kv_set(kp, kl, p, l, ttl_ms i64) i32      kv; ttl 0: does not expire
//	kv_del(kp, kl) i32                        kv; 1 if the key existed
//	kv_add(kp, kl, delta i64, ttl_ms i64, out) i32  kv; the sum as i64 at out
//	kv_cas(kp, kl, op, ol, p, l, ttl_ms i64) i32    kv; 1 if the key had the old value and was set; ol 0: the key must not exist
//	rate_take(kp, kl, tokens, per_ms, burst) i32    rate; ms to wait, 0 if one was taken
//	emit(kind, tp, tl, p, l) i32              emit; see [EmitText]
//	metric_add(np, nl, delta i64) i32         no grant needed
//	sanction_set(p, l) i32                    sanctions; JSON, see ABI.md; since minor 1
//	sanction_pardon(p, l) i32                 sanctions; JSON; since minor 1
//	member_remove(cp, cl, rp, rl, p, l) i32   members; connection, room, reason; since minor 1
//	connection_close(cp, cl, p, l) i32        members; connection, reason; since minor 1
//	user_set(p, l) i32                        identity; the name of the user of the event's connection; since minor 1
//	message_retract(rp, rl, ip, il) i32       amend; room, id of the message; since minor 1
//	message_edit(kind, rp, rl, ip, il, p, l) i32    amend; [EmitText] or [EmitJSON], room, id, the new text; since minor 1
const (
	ImportLog         = "log"
	ImportNow         = "now_ms"
	ImportRandom      = "random"
	ImportConfigGet   = "config_get"
	ImportPropertyGet = "property_get"
	ImportPropertySet = "property_set"
	ImportRoomGet     = "room_get"
	ImportRoomSize    = "room_size"
	ImportRoomCreate  = "room_create"
	ImportRoomDestroy = "room_destroy"
	ImportKVGet       = "kv_get"
	ImportKVSet       = "kv_set"
	ImportKVDel       = "kv_del"
	ImportKVAdd       = "kv_add"
	ImportKVCAS       = "kv_cas"
	ImportRateTake    = "rate_take"
	ImportEmit        = "emit"
	ImportMetricAdd   = "metric_add"

	ImportSanctionSet     = "sanction_set"
	ImportSanctionPardon  = "sanction_pardon"
	ImportMemberRemove    = "member_remove"
	ImportConnectionClose = "connection_close"
	ImportUserSet         = "user_set"
	ImportMessageRetract  = "message_retract"
	ImportMessageEdit     = "message_edit"
)
