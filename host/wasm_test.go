package host

import (
	"fmt"
	"slices"
	"strings"
)

// assembly is a module put together by hand, section by section.
type assembly struct {
	types, imports, funcs, exports, code [][]byte
	bodies                               int
	start                                []byte
	custom                               []byte
	noMemory                             bool
}

// Instructions.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opBr          = 0x0c
	opEnd         = 0x0b
	opCall        = 0x10
	opDrop        = 0x1a
	opGet         = 0x20
	opStore       = 0x36 // i32
	opGrow        = 0x40
	opConst       = 0x41 // i32
)

func leb(n int) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func uleb(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func constant(n int) []byte { return append([]byte{opConst}, leb(n)...) }

func sized(b []byte) []byte { return append(uleb(len(b)), b...) }

// signature is "i32 i32 -> i64" in the binary format.
func funcType(sig string) []byte {
	params, results, _ := strings.Cut(sig, "->")
	list := func(words string) []byte {
		var b []byte
		for _, w := range strings.Fields(words) {
			b = append(b, map[string]byte{"i32": 0x7f, "i64": 0x7e}[w])
		}
		return sized(b)
	}
	return slices.Concat([]byte{0x60}, list(params), list(results))
}

func (a *assembly) typ(sig string) []byte {
	a.types = append(a.types, funcType(sig))
	return uleb(len(a.types) - 1)
}

// imported must come before fn.
func (a *assembly) imported(module, name, sig string) int {
	a.imports = append(a.imports, slices.Concat(sized([]byte(module)), sized([]byte(name)), []byte{0}, a.typ(sig)))
	return len(a.imports) - 1
}

// fn adds a function, exported if it has a name.
func (a *assembly) fn(name, sig string, code ...[]byte) int {
	a.funcs = append(a.funcs, a.typ(sig))
	a.code = append(a.code, sized(slices.Concat([]byte{0}, slices.Concat(code...), []byte{opEnd})))
	index := len(a.imports) + len(a.funcs) - 1
	if name != "" {
		a.exports = append(a.exports, slices.Concat(sized([]byte(name)), []byte{0}, uleb(index)))
	}
	return index
}

// exchange is where the exchange buffer of hand-made modules is.
const exchange = 1 << 16

// abi adds what every module has.
func (a *assembly) abi() *assembly {
	a.fn("moot_abi_1", "->")
	a.fn("moot_alloc", "i32 -> i32", constant(exchange))
	return a
}

func (a *assembly) bytes() []byte {
	section := func(id byte, items [][]byte) []byte {
		if len(items) == 0 {
			return nil
		}
		return append([]byte{id}, sized(append(uleb(len(items)), slices.Concat(items...)...))...)
	}
	exports := a.exports
	var memory [][]byte
	if !a.noMemory {
		memory = [][]byte{{0, 24}} // 1.5 MiB
		exports = append(slices.Clone(exports), append(sized([]byte("memory")), 2, 0))
	}
	out := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), a.custom, section(1, a.types), section(2, a.imports), section(3, a.funcs),
		section(5, memory), section(7, exports))
	if a.start != nil {
		out = append(append(out, 8), sized(a.start)...)
	}
	return append(out, section(10, a.code)...)
}

// manifest adds the custom section of that content.
func (a *assembly) manifest(json string) *assembly {
	a.custom = append([]byte{0}, sized(append(sized([]byte("moot.manifest")), json...))...)
	return a
}

// store is code that writes a number into the frame.
func store(slot, n int) []byte {
	return slices.Concat(constant(exchange), constant(n), []byte{opStore, 2}, uleb(slot))
}

// forever is code that never ends.
func forever() []byte { return []byte{opLoop, 0x40, opBr, 0, opEnd} }

// handMade is a module that does one thing at onSayReceive and say, by its name.
func handMade(name string) []byte {
	a := new(assembly)
	verb, arg, _ := strings.Cut(name, "-")
	var code []byte
	switch verb {
	case "allow":
		code = constant(0)
	case "code":
		var n int
		fmt.Sscan(arg, &n)
		code = constant(n)
	case "loop":
		code = append(forever(), constant(0)...)
	case "trap":
		code = []byte{opUnreachable}
	case "badpointer":
		code = slices.Concat(store(36, -16), store(40, 100), constant(1))
	case "exit":
		exit := a.imported("wasi_snapshot_preview1", "proc_exit", "i32 ->")
		code = slices.Concat(constant(7), []byte{opCall}, uleb(exit), constant(0))
	case "room": // moves the message into the room
		room := int(arg[0])
		code = slices.Concat(constant(8), constant(room), []byte{opStore, 2, 0}, store(64, 8), store(68, 1), constant(2))
	case "hungry": // takes all memory it can get, and traps
		code = slices.Concat([]byte{opLoop, 0x40}, constant(1), []byte{opGrow, 0}, constant(-1), []byte{0x47, 0x0d, 0, opEnd, opUnreachable})
	case "busy": // as allow, and its action never ends
		a.manifest(`{"actions": [{"name": "loop"}]}`)
		code = constant(0)
	case "class": // as allow, and one class of receivers for each locale
		a.manifest(`{"vary": ["locale"]}`)
		code = constant(0)
	case "once": // as allow, and one class of receivers in all
		a.manifest(`{"vary": []}`)
		code = constant(0)
	}
	a.abi()
	if verb == "deep" {
		self := len(a.imports) + len(a.funcs)
		code = slices.Concat([]byte{opGet, 0, opCall}, uleb(self), constant(0), []byte{0x6a})
	}
	if verb == "busy" {
		a.fn("on_action", "i32 -> i32", forever(), constant(0))
	}
	f := a.fn("on_say_receive", "i32 -> i32", code)
	a.exports = append(a.exports, slices.Concat(sized([]byte("on_say")), []byte{0}, uleb(f)))
	return a.bytes()
}
