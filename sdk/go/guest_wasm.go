package moot

import "unsafe"

// guest is this program: one instance of one module.
var guest instance

// exchange is the exchange buffer, where the host writes frames. Its type aligns it.
var exchange = make([]uint64, exchangeSize/8)

const (
	exchangeSize = 64 << 10
	exchangeMax  = 1 << 20
)

// kept holds the texts whose addresses the host has: the manifest, and a reason until the next call.
var kept struct{ manifest, reason string }

// memory returns addresses for results. Go's garbage collector does not move
// objects.
type memory struct{}

func (memory) pointer(s string) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.StringData(s)))) }

func register(m Module) {
	if guest.module.Name != "" {
		panic("moot: Register called twice")
	}
	guest.module = m
	kept.manifest = m.manifest() // once, in the image of all instances
}

func rehearseModule(m Module, config string) {
	_ = (&instance{module: m}).init([]byte(config))
}

func exchangeBytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&exchange[0])), len(exchange)*8)
}

// inExchange is the exchange buffer from address p on.
func inExchange(p uint32) []byte {
	return exchangeBytes()[p-uint32(uintptr(unsafe.Pointer(&exchange[0]))):]
}

func span(s string) int64 {
	return int64(uint64(memory{}.pointer(s))<<32 | uint64(len(s)))
}

//go:wasmexport moot_abi_1
func marker() {}

//go:wasmexport moot_alloc
func alloc(size uint32) uint32 {
	if size > exchangeMax {
		return 0
	}
	if int(size) > len(exchange)*8 {
		exchange = make([]uint64, (size+7)/8)
	}
	return uint32(uintptr(unsafe.Pointer(&exchange[0])))
}

//go:wasmexport moot_manifest
func manifest() int64 { return span(kept.manifest) }

//go:wasmexport moot_init
func initialize(minor, p, n uint32) int32 {
	var config []byte
	if n > 0 {
		config = inExchange(p)[:n]
	}
	if err := guest.init(config); err != nil {
		kept.reason = err.Error()
		return 1
	}
	return 0
}

//go:wasmexport moot_reason
func reason() int64 { return span(kept.reason) }

// All hooks call one function, because a frame names its hook.

//go:wasmexport on_connect
func onConnect(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_join
func onJoin(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_say_receive
func onSayReceive(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_say
func onSay(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_leave
func onLeave(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_disconnect
func onDisconnect(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_action
func onAction(frame uint32) int32 { return guest.call(inExchange(frame)) }

//go:wasmexport on_answer
func onAnswer(frame uint32) int32 { return guest.answered(inExchange(frame)) }
