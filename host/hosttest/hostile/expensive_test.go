package hostile

import (
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// Memory of the guests in this file.
const (
	allPages = 1024    // of 64 KiB: the most that an entry may have
	lines    = 1 << 20 // of 64 bytes, in these pages
)

// Instructions that only these guests use.
const (
	shiftL    asm.Code = "\x74"
	shiftR    asm.Code = "\x76"
	times32   asm.Code = "\x6c"
	rem64     asm.Code = "\x82"
	div64     asm.Code = "\x7f"
	tableGet  asm.Code = "\x25\x00"
	isNull    asm.Code = "\xd1"
	tableFill asm.Code = "\xfc\x11\x00"
	tableCopy asm.Code = "\xfc\x0e\x00\x00"
	f64Mul    asm.Code = "\xa2"
	tinyF64   asm.Code = "\x44\x01\x00\x00\x00\x00\x00\x00\x00" // a denormal number
	oneF64    asm.Code = "\x44\x00\x00\x00\x00\x00\x00\xf0\x3f"
	zero128   asm.Code = "\xfd\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
	swizzle   asm.Code = "\xfd\x0e"
	sqrtF64x2 asm.Code = "\xfd\xef\x01"
	divF64x2  asm.Code = "\xfd\xf3\x01"
	shl8x16   asm.Code = "\xfd\x6b"
	shr64x2   asm.Code = "\xfd\xcc\x01"
)

// next sets local j to the next of 2^32 pseudorandom numbers.
const next = "\x20\x02\x41\x8d\xcc\xe5\x00\x6c\x41\xdf\xe6\xbb\xe3\x03\x6a\x21\x02" // j = j*1664525 + 1013904223

// somewhere pushes a pseudorandom address in the memory.
var somewhere = next + asm.Get(j) + asm.I32(allPages<<16-1<<6) + asm.And

// expensiveGuests are guests that take as much time as possible for each unit of fuel. Each one first works fast, so
// that its slices are large when the slow work begins.
var expensiveGuests = []attack{
	expensive("chase", func(*guest) asm.Code { return asm.Get(i) + asm.Repeat(200, asm.Load32(0)) + asm.Set(i) }),
	expensive("chase in a loop", func(*guest) asm.Code { return asm.Get(i) + asm.Load32(0) + asm.Set(i) }),
	expensive("pages touched for the first time", func(g *guest) asm.Code {
		g.setUp = times((allPages-24)/8, asm.I32(8)+asm.MemoryGrow+asm.Drop)
		return asm.Get(i) + asm.I32(1) + asm.Store8(0) + asm.Get(i) + asm.I32(4096) + asm.Add + asm.I32(allPages<<16-1) + asm.And + asm.Set(i)
	}),
	expensive("scattered stores", func(*guest) asm.Code { return asm.Repeat(50, somewhere+asm.Get(j)+asm.Store32(0)) }),
	expensive("scattered stores across pages", func(*guest) asm.Code {
		return asm.Repeat(50, next+asm.Get(j)+asm.I32(0x3ffe000)+asm.And+asm.I64(1)+asm.Store64(4093))
	}),
	expensive("chains of load and store", func(*guest) asm.Code {
		return asm.Repeat(50, somewhere+asm.Tee(i)+asm.Get(i)+asm.Load32(0)+asm.Get(j)+asm.Add+asm.Tee(j)+asm.Store32(0))
	}),
	expensive("loads across pages", func(*guest) asm.Code {
		return asm.Repeat(50, asm.Get(i)+asm.Get(j)+asm.Add+asm.I32(0x3ffe000)+asm.And+asm.Load32(4094)+asm.Set(i)+asm.Code(next))
	}),
	expensive("small fills", func(*guest) asm.Code { return asm.Repeat(50, somewhere+asm.I32(1)+asm.I32(15)+asm.MemoryFill) }),
	expensive("small copies", func(*guest) asm.Code { return asm.Repeat(50, somewhere+somewhere+asm.I32(15)+asm.MemoryCopy) }),
	expensive("fills of all", func(*guest) asm.Code {
		return asm.I32(0) + asm.Get(j) + asm.I32(allPages<<16) + asm.MemoryFill
	}),
	expensive("copies of all", func(*guest) asm.Code {
		return asm.I32(1) + asm.I32(0) + asm.I32(allPages<<16-1) + asm.MemoryCopy
	}),
	expensive("vector shifts", func(*guest) asm.Code {
		return zero128 + asm.Repeat(100, asm.Get(j)+shl8x16+asm.Get(j)+shr64x2) + "\xfd\x53" + asm.Set(i)
	}),
	expensive("vector swizzles, roots and divisions", func(*guest) asm.Code {
		return zero128 + asm.Repeat(100, zero128+swizzle+sqrtF64x2+zero128+divF64x2) + "\xfd\x53" + asm.Set(i)
	}),
	expensive("denormal numbers", func(*guest) asm.Code {
		return asm.Repeat(100, tinyF64+oneF64+f64Mul+asm.Truncate+asm.Drop)
	}),
	expensive("divisions", func(*guest) asm.Code {
		return asm.I64(-1<<62) + asm.Repeat(100, asm.Get(long)+asm.I64(3)+asm.Add64+div64+asm.I64(-1<<61)+asm.Add64+asm.I64(7)+rem64+asm.I64(1<<62)+asm.Add64) + asm.Set(long)
	}),
	expensive("indirect calls", func(g *guest) asm.Code {
		const functions, elements = 5000, 65536
		first, typ := g.Next(), g.Type("i32 -> i32")
		for f := range functions {
			g.Func("", "i32 -> i32", asm.Get(0)+asm.I32(f)+asm.Add)
		}
		g.Table(elements, elements)
		table := make([]int, elements)
		for e := range table {
			table[e] = first + e*7919%functions
		}
		g.Elements(0, table...)
		return asm.Repeat(50, asm.Code(next)+asm.Get(j)+asm.Get(j)+asm.I32(8)+shiftR+asm.I32(elements-1)+asm.And+asm.CallIndirect(typ)+asm.Set(i))
	}),
	expensive("calls of functions far apart", func(g *guest) asm.Code {
		const functions = 2000
		first := g.Next()
		for range functions { // each with much code that does not run
			g.FuncWith("", "->", "i32 i32", asm.Get(0)+asm.If(asm.Loop(asm.Repeat(300, asm.Get(0)+asm.Load32(0)+asm.Set(0)))))
		}
		var code asm.Code
		for n := range functions {
			code += asm.Call(first + n*773%functions)
		}
		return code
	}),
	expensive("branches by a table", func(*guest) asm.Code {
		const targets = 256
		code := asm.Code(next) + asm.Get(j) + asm.I32(20) + shiftR + asm.I32(targets-1) + asm.And + "\x0e" + asm.Code(asm.Uint(targets))
		for n := range targets {
			code += asm.Code(asm.Uint(n))
		}
		code += "\x00"
		for n := range targets {
			code = asm.Block(code) + asm.Get(i) + asm.I32(n) + asm.Add + asm.Set(i)
		}
		return code
	}),
	expensive("elements of a table", func(g *guest) asm.Code {
		g.Table(65536, 65536)
		return asm.Repeat(50, asm.Code(next)+asm.Get(j)+asm.I32(8)+shiftR+asm.I32(65535)+asm.And+tableGet+isNull+asm.Set(i))
	}),
	expensive("growing", func(g *guest) asm.Code {
		g.setUp = asm.I32(0) + asm.MemoryGrow + asm.Drop
		return asm.I32(1) + asm.MemoryGrow + asm.Drop
	}),
	expensive("operands on a deep stack", func(g *guest) asm.Code {
		return recurse(g, "i32", 7900, func(self asm.Code) asm.Code { return keeps(700, self) })
	}),
	expensive("large frames of code that is not run", func(g *guest) asm.Code {
		return recurse(g, "i32", 7900, func(self asm.Code) asm.Code {
			return asm.Get(1) + asm.If(asm.Loop(asm.Repeat(12, keeps(1000, self)))) + asm.Get(0) + self + asm.Set(0)
		})
	}),
	expensive("large frames of vectors", func(g *guest) asm.Code {
		const vector, not, or, any = "\xfd\x11", "\xfd\x4d", "\xfd\x50", "\xfd\x53" // i32x4.splat
		values := asm.Get(0) + vector + asm.Repeat(999, asm.Get(0)+asm.I32(3)+asm.Add+vector+not)
		return recurse(g, "i32", 7900, func(self asm.Code) asm.Code {
			return asm.Get(1) + asm.If(asm.Repeat(8, values+asm.Get(0)+self+asm.Set(0)+asm.Repeat(999, or)+any+asm.Set(0))) +
				asm.Get(0) + self + asm.Set(0)
		})
	}),
	expensive("large frames of locals in blocks", func(g *guest) asm.Code {
		const locals, blocks = 300, 60
		return recurse(g, strings.Repeat("i32 ", locals), 7900, func(self asm.Code) asm.Code {
			var code, sum asm.Code
			for l := range locals {
				code += asm.Get(0) + asm.I32(l) + asm.Add + asm.Set(1+l)
				sum += asm.Get(1+l) + asm.Get(0) + asm.Add + asm.Set(0)
			}
			for range blocks {
				code = asm.Get(0) + self + asm.If(code) + asm.Get(0) + self + asm.Set(0)
			}
			return asm.Get(1) + asm.If(code+sum) + asm.Get(0) + self + asm.Set(0)
		})
	}),
	expensive("fills and copies of a table", func(g *guest) asm.Code {
		g.Table(65536, 65536)
		return asm.I32(0) + asm.NullFunc + asm.I32(65536) + tableFill + asm.I32(1) + asm.I32(0) + asm.I32(65535) + tableCopy
	}),
	expensive("small copies of a table", func(g *guest) asm.Code {
		g.Table(65536, 65536)
		element := asm.Get(j) + asm.I32(8) + shiftR + asm.I32(32767) + asm.And
		return asm.Repeat(50, asm.Code(next)+element+element+asm.I32(1)+tableCopy)
	}),
	expensive("globals far apart", func(g *guest) asm.Code {
		const globals = 5000
		first := g.Global("i64", asm.I64(0))
		for range globals - 1 {
			g.Global("i64", asm.I64(0))
		}
		var code asm.Code
		for n := range globals {
			at := first + n*769%globals
			code += asm.GlobalGet(at) + asm.I64(1) + asm.Add64 + asm.GlobalSet(at)
		}
		return code
	}),
	expensive("host calls", func(g *guest) asm.Code { return burn(g, 0) + spam["kv_set"](g) }),
}

// expensive returns a guest that repeats slow work after some millions of units of fast work. Its memory contains a
// chain of pointers through all cache lines, in one cycle.
func expensive(name string, build func(g *guest) asm.Code) attack {
	return attack{
		name:  name,
		hooks: []hook.Hook{hook.OnSayReceive},
		entry: host.Entry{Memory: 64 << 20, Grants: []string{"kv", "emit"}},
		build: func(g *guest) asm.Code {
			code := build(g)
			setUp := g.setUp
			if setUp == "" {
				g.Section(asm.Memories, slices.Concat([]byte{1, 1}, asm.Uint(allPages), asm.Uint(allPages)))
				setUp = circle
			}
			return setUp + times(1_000_000, "") + asm.I32(0) + asm.Set(i) + forever(code)
		},
	}
}

// recurse calls a function that calls itself n times. code makes the recursive call, with a number on the stack as the
// argument.
func recurse(g *guest, locals string, n int, code func(self asm.Code) asm.Code) asm.Code {
	left := g.Global("i32", asm.I32(0))
	self := asm.Call(g.Next())
	g.FuncWith("", "i32 -> i32", locals, asm.GlobalGet(left)+asm.Eqz+asm.If(asm.Get(0)+asm.Return)+
		asm.GlobalGet(left)+asm.I32(1)+asm.Sub+asm.GlobalSet(left)+code(self)+asm.Get(0))
	return asm.I32(n) + asm.GlobalSet(left) + asm.Get(i) + self + asm.Set(i)
}

// keeps returns a call during which n values of the caller are live.
func keeps(n int, call asm.Code) asm.Code {
	var values asm.Code
	for v := range n {
		values += asm.Get(0) + asm.I32(v+1) + asm.Add
	}
	return values + call + asm.Repeat(n-1, asm.Add) + asm.Set(0)
}

// circle writes the address of the next cache line into each line of the memory.
var circle = func() asm.Code {
	const mask = lines - 1
	return times(lines, asm.Get(j)+asm.I32(mask)+asm.And+asm.I32(6)+shiftL+
		asm.Get(j)+asm.I32(1664525)+times32+asm.I32(1013904223)+asm.Add+asm.I32(mask)+asm.And+asm.I32(6)+shiftL+asm.Store32(0))
}()

// longest returns the largest duration, and sorts the values.
func longest[T ~int64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	return slices.Max(values)
}
