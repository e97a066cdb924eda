package main

import (
	"strconv"
	"strings"
	"unsafe"
)

//go:wasmimport moot_1 log
func hostLog(level uint32, p unsafe.Pointer, n uint32)

//go:wasmimport moot_1 config_get
func configGet(kp unsafe.Pointer, kl uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport moot_1 property_get
func propertyGet(conn uint32, kp unsafe.Pointer, kl uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport moot_1 property_set
func propertySet(kp unsafe.Pointer, kl uint32, p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 room_get
func roomGet(kp unsafe.Pointer, kl uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport moot_1 room_size
func roomSize() int32

//go:wasmimport moot_1 room_create
func roomCreate(p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 kv_get
func kvGet(kp unsafe.Pointer, kl uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport moot_1 kv_set
func kvSet(kp unsafe.Pointer, kl uint32, p unsafe.Pointer, l uint32, ttl uint64) int32

//go:wasmimport moot_1 kv_del
func kvDel(kp unsafe.Pointer, kl uint32) int32

//go:wasmimport moot_1 kv_add
func kvAdd(kp unsafe.Pointer, kl uint32, delta, ttl uint64, out unsafe.Pointer) int32

//go:wasmimport moot_1 kv_cas
func kvCAS(kp unsafe.Pointer, kl uint32, op unsafe.Pointer, ol uint32, p unsafe.Pointer, l uint32, ttl uint64) int32

//go:wasmimport moot_1 rate_take
func rateTake(kp unsafe.Pointer, kl, tokens, per, burst uint32) int32

//go:wasmimport moot_1 emit
func emit(kind uint32, tp unsafe.Pointer, tl uint32, p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 metric_add
func metricAdd(p unsafe.Pointer, l uint32, delta uint64) int32

//go:wasmimport moot_1 sanction_set
func sanctionSet(p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 sanction_pardon
func sanctionPardon(p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 member_remove
func memberRemove(cp unsafe.Pointer, cl uint32, rp unsafe.Pointer, rl uint32, p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 connection_close
func connectionClose(cp unsafe.Pointer, cl uint32, p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 message_retract
func messageRetract(rp unsafe.Pointer, rl uint32, ip unsafe.Pointer, il uint32) int32

//go:wasmimport moot_1 message_edit
func messageEdit(kind uint32, rp unsafe.Pointer, rl uint32, ip unsafe.Pointer, il uint32, p unsafe.Pointer, l uint32) int32

//go:wasmimport moot_1 now_ms
func nowMs() uint64

//go:wasmimport moot_1 random
func random(p unsafe.Pointer, l uint32) int32

func ref(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

// call calls a host function. Its result, and what it wrote, become the message.
func call(verb, arg string) int32 {
	var buf [64]byte
	out := unsafe.Pointer(&buf[0])
	word, rest, _ := strings.Cut(arg, " ")
	kp, kl := ref(word)
	p, l := ref(rest)
	var n int32
	wrote := false
	switch verb {
	case "log":
		lp, ll := ref(arg)
		hostLog(1, lp, ll)
		return 0
	case "config":
		n, wrote = configGet(kp, kl, out, 64), true
	case "property":
		n, wrote = propertyGet(0, kp, kl, out, 64), true
	case "set":
		n = propertySet(kp, kl, p, l)
	case "members":
		n, wrote = roomGet(kp, kl, out, 64), true
	case "size":
		n = roomSize()
	case "create":
		n = roomCreate(kp, kl)
	case "kvget":
		n, wrote = kvGet(kp, kl, out, 64), true
	case "kvset":
		n = kvSet(kp, kl, p, l, 0)
	case "kvdel":
		n = kvDel(kp, kl)
	case "kvadd":
		delta, _ := strconv.ParseInt(rest, 10, 64)
		if n = kvAdd(kp, kl, uint64(delta), 0, out); n == 0 {
			n = int32(le.Uint64(buf[:]))
		}
	case "kvcas":
		old, value, _ := strings.Cut(rest, " ")
		op, ol := ref(old)
		p, l = ref(value)
		n = kvCAS(kp, kl, op, ol, p, l, 0)
	case "take":
		n = rateTake(kp, kl, 1, 1000, 2)
	case "emit":
		n = emit(0, kp, kl, p, l)
	case "emits":
		for n = 0; n < 10 && emit(0, kp, kl, p, l) == 0; n++ {
		}
	case "sanction":
		ap, al := ref(arg)
		n = sanctionSet(ap, al)
	case "strike": // denies, with a mute of the user
		ap, al := ref(`{"kind":"mute","user":"` + word + `","ttl":60000}`)
		sanctionSet(ap, al)
		memberRemove(kp, kl, p, l, p, 0)
		emit(0, kp, kl, p, l)
		put(36, "strike")
		return 1
	case "strikehold": // holds, with the same effects
		return call("strike", arg) + 5
	case "sanctiontrap":
		ap, al := ref(`{"kind":"mute","user":"` + word + `"}`)
		sanctionSet(ap, al)
		panic("after a sanction")
	case "pardon":
		ap, al := ref(arg)
		n = sanctionPardon(ap, al)
	case "remove":
		n = memberRemove(kp, kl, p, l, p, 0)
	case "close":
		n = connectionClose(kp, kl, p, l)
	case "retract":
		n = messageRetract(kp, kl, p, l)
	case "edit": // kind, room, id and text
		room, rest, _ := strings.Cut(rest, " ")
		id, text, _ := strings.Cut(rest, " ")
		rp, rl := ref(room)
		ip, il := ref(id)
		p, l = ref(text)
		kind, _ := strconv.Atoi(word)
		n = messageEdit(uint32(kind), rp, rl, ip, il, p, l)
	case "metric":
		n = metricAdd(kp, kl, 2)
	case "now":
		n = int32(nowMs() / 1000)
	case "random":
		n = random(out, 8)
	default:
		return 0
	}
	text := strconv.Itoa(int(n))
	if wrote && n >= 0 {
		text = string(buf[:n])
	}
	put(44, text)
	le.PutUint32(exchange[52:], 1)
	return 2
}
