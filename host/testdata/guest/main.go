// A guest for the tests of the host, on the raw ABI. It executes the message, or at hooks without one the name of the
// room: a command and its argument, such as "deny no such words". Its config may contain its manifest.
package main

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

func main() {}

var (
	exchange []byte
	config   struct {
		Refuse   string          `json:"refuse"`
		Manifest json.RawMessage `json:"manifest"`
		Say      string          `json:"say"`
	}
	kept  [][]byte // data that the result slots point at
	hoard [][]byte
	le    = binary.LittleEndian
)

func pointer(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	kept = append(kept, b)
	return uint32(uintptr(unsafe.Pointer(&b[0])))
}

func packed(b []byte) uint64 { return uint64(pointer(b))<<32 | uint64(len(b)) }

//go:wasmexport moot_abi_1
func marker() {}

//go:wasmexport moot_alloc
func alloc(size uint32) uint32 {
	words := make([]uint64, size/8+1)
	exchange = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	return uint32(uintptr(unsafe.Pointer(&words[0])))
}

//go:wasmexport moot_init
func initialize(minor, ptr, n uint32) uint32 {
	if err := json.Unmarshal(exchange[:n], &config); err != nil {
		config.Refuse = err.Error()
	}
	if config.Refuse != "" {
		return 1
	}
	return 0
}

//go:wasmexport moot_reason
func reason() uint64 { return packed([]byte(config.Refuse)) }

//go:wasmexport moot_manifest
func manifest() uint64 { return packed(config.Manifest) }

// field returns a field of the blob at an offset of the frame.
func field(at uint32, number int) string {
	if at == 0 {
		return ""
	}
	blob := exchange[at:]
	o, n := le.Uint32(blob[24+8*number:]), le.Uint32(blob[28+8*number:])
	if o == 0 {
		return "-"
	}
	return string(blob[o : o+n])
}

func put(slot int, s string) {
	b := []byte(s)
	le.PutUint32(exchange[slot:], pointer(b))
	le.PutUint32(exchange[slot+4:], uint32(len(b)))
}

//go:wasmexport on_say_receive
func onSayReceive(frame uint32) int32 { return do(field(le.Uint32(exchange[16:]), 3)) }

//go:wasmexport on_connect
func onConnect(frame uint32) int32 { return do(field(le.Uint32(exchange[20:]), 2)) }

//go:wasmexport on_join
func onJoin(frame uint32) int32 { return do(field(le.Uint32(exchange[16:]), 0)) }

//go:wasmexport on_leave
func onLeave(frame uint32) int32 { return do(field(le.Uint32(exchange[16:]), 0)) }

//go:wasmexport on_disconnect
func onDisconnect(frame uint32) int32 { return do(field(le.Uint32(exchange[20:]), 2)) }

//go:wasmexport on_action
func onAction(frame uint32) int32 {
	event := le.Uint32(exchange[16:])
	put(88, `{"did": "`+field(event, 6)+`", "params": `+field(event, 7)+`}`)
	return 0
}

func do(command string) int32 {
	kept = kept[:0]
	verb, arg, _ := strings.Cut(command, " ")
	switch verb {
	case "deny":
		put(36, arg)
		return 1
	case "hold": // with a time to live in ms
		ttl, reason, _ := strings.Cut(arg, " ")
		n, _ := strconv.ParseUint(ttl, 10, 64)
		put(36, reason)
		le.PutUint64(exchange[104:], n)
		return 6
	case "rewrite":
		put(44, arg)
		le.PutUint32(exchange[52:], 1)
		return 2
	case "json":
		put(44, arg)
		le.PutUint32(exchange[52:], 2)
		return 2
	case "extra":
		put(56, arg)
		return 2
	case "room":
		put(64, arg)
		return 2
	case "from":
		put(72, arg)
		le.PutUint64(exchange[80:], 1234)
		return 2
	case "code":
		first, _, _ := strings.Cut(arg, " ")
		n, _ := strconv.Atoi(first)
		return int32(n)
	case "see":
		event, conn := le.Uint32(exchange[16:]), le.Uint32(exchange[20:])
		var all []string
		for i := range 8 {
			all = append(all, field(event, i))
		}
		for i := range 8 {
			all = append(all, field(conn, i))
		}
		put(44, strings.Join(all, "|"))
		le.PutUint32(exchange[52:], 1)
		return 2
	case "ids": // of the message
		event := le.Uint32(exchange[16:])
		put(44, field(event, 8)+"|"+field(event, 9))
		le.PutUint32(exchange[52:], 1)
		return 2
	case "badpointer":
		le.PutUint32(exchange[36:], 0xfffffff0)
		le.PutUint32(exchange[40:], 100)
		return 1
	case "panic":
		panic(arg)
	case "exit":
		os.Exit(3)
	case "loop":
		for n := 0; ; n++ {
			exchange[200] = byte(n)
		}
	case "deep":
		return deep(0)
	case "rand":
		put(44, strconv.FormatUint(rand.Uint64(), 16))
		le.PutUint32(exchange[52:], 1)
		return 2
	case "hoard":
		for {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	case "grow": // to four fifths of 16 MiB
		for len(hoard) < 10 {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	}
	return call(verb, arg)
}

func deep(n int32) int32 { return deep(n+1) + 1 }

// onSay answers as the config says, by the fields of each receiver.
//
//go:wasmexport on_say
func onSay(frame uint32) int32 {
	n := le.Uint32(exchange[12:])
	table, verdicts := le.Uint32(exchange[24:]), le.Uint32(exchange[28:])
	message := field(le.Uint32(exchange[16:]), 3)
	if config.Say == "each" {
		return each(message, n, table, verdicts)
	}
	if config.Say != "receivers" {
		return do(message)
	}
	kept = kept[:0]
	forms := make(map[string]byte)
	var variants []byte
	for i := range n {
		receiver := le.Uint32(exchange[table+4*i:])
		locale, user := field(receiver, 6), field(receiver, 2)
		switch {
		case user == "blocked":
			exchange[verdicts+i] = 1
			continue
		case locale == "en":
			continue
		}
		if _, ok := forms[locale]; !ok {
			forms[locale] = byte(len(forms) + 2)
			text := []byte(message + " (" + locale + ")")
			variants = le.AppendUint32(variants, pointer(text))
			variants = le.AppendUint32(variants, uint32(len(text)))
			variants = append(le.AppendUint32(variants, 1), make([]byte, 8)...)
		}
		exchange[verdicts+i] = forms[locale]
	}
	le.PutUint32(exchange[96:], pointer(variants))
	le.PutUint32(exchange[100:], uint32(len(forms)))
	return 3
}

// each gives every receiver a variant with its own id.
func each(message string, n, table, verdicts uint32) int32 {
	if n > 253 {
		le.PutUint32(exchange[100:], n)
		return 3
	}
	kept = kept[:0]
	var variants []byte
	for i := range n {
		text := []byte(message + " " + field(le.Uint32(exchange[table+4*i:]), 0))
		variants = le.AppendUint32(variants, pointer(text))
		variants = le.AppendUint32(variants, uint32(len(text)))
		variants = append(le.AppendUint32(variants, 1), make([]byte, 8)...)
		exchange[verdicts+i] = byte(2 + i)
	}
	le.PutUint32(exchange[96:], pointer(variants))
	le.PutUint32(exchange[100:], n)
	return 3
}
