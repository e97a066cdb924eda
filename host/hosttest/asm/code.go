package asm

import "strings"

// Code is encoded instructions, concatenated with +.
type Code string

const end Code = "\x0b"

// Instructions without immediates, or with fixed ones.
const (
	Unreachable Code = "\x00"
	Return      Code = "\x0f"
	Drop        Code = "\x1a"
	Eqz         Code = "\x45"             // i32
	Equal       Code = "\x46"             // i32
	Unequal     Code = "\x47"             // i32
	LessU       Code = "\x49"             // i32
	Add         Code = "\x6a"             // i32
	Sub         Code = "\x6b"             // i32
	Mul         Code = "\x6c"             // i32
	DivS        Code = "\x6d"             // i32
	And         Code = "\x71"             // i32
	Less64S     Code = "\x53"             // i64
	Add64       Code = "\x7c"             // i64
	Extend      Code = "\xac"             // i32 to i64, signed
	Truncate    Code = "\xaa"             // f64 to i32, signed
	MemorySize  Code = "\x3f\x00"         // pages
	MemoryGrow  Code = "\x40\x00"         // by pages
	MemoryFill  Code = "\xfc\x0b\x00"     // to, byte, count
	MemoryCopy  Code = "\xfc\x0a\x00\x00" // to, from, count
	TableGrow   Code = "\xfc\x0f\x00"     // reference, by elements; table 0
	NullFunc    Code = "\xd0\x70"
	RefFunc     Code = "\xd2"                                 // the index of a function follows
	TableSet    Code = "\x26"                                 // the index of a table follows: index, reference
	NaN         Code = "\x44\x00\x00\x00\x00\x00\x00\xf8\x7f" // f64
)

// Repeat concatenates code n times.
func Repeat(n int, code Code) Code { return Code(strings.Repeat(string(code), n)) }

// I32 pushes a constant, truncated to 32 bits.
func I32(n int) Code { return "\x41" + Code(Int(int(int32(n)))) }

// I64 pushes a constant.
func I64(n int) Code { return "\x42" + Code(Int(n)) }

// Get reads a local or a parameter.
func Get(local int) Code { return "\x20" + number(local) }

// Set writes a local.
func Set(local int) Code { return "\x21" + number(local) }

// Tee writes a local and leaves the value.
func Tee(local int) Code { return "\x22" + number(local) }

// GlobalGet reads a global.
func GlobalGet(global int) Code { return "\x23" + number(global) }

// GlobalSet writes a global.
func GlobalSet(global int) Code { return "\x24" + number(global) }

// Call calls a function.
func Call(f int) Code { return "\x10" + number(f) }

// CallIndirect calls the function in table 0 whose index is on the stack. It traps if the function does not have the
// type typ.
func CallIndirect(typ int) Code { return "\x11" + number(typ) + "\x00" }

// Block is a block without a result; [Br] branches to its end.
func Block(code Code) Code { return "\x02\x40" + code + end }

// Loop is a loop without a result; [Br] begins the next iteration.
func Loop(code Code) Code { return "\x03\x40" + code + end }

// If runs the code if the i32 on the stack is not 0.
func If(code Code) Code { return "\x04\x40" + code + end }

// Br branches to a block or loop. Depth 0 is the innermost one.
func Br(depth int) Code { return "\x0c" + number(depth) }

// BrIf is like [Br], but only if the i32 on the stack is not 0.
func BrIf(depth int) Code { return "\x0d" + number(depth) }

// BrTable branches to block 0, with a table of n entries.
func BrTable(n int) Code { return "\x0e" + number(n) + Code(make([]byte, n+1)) }

// Load32 loads an i32 from the address on the stack plus offset.
func Load32(offset int) Code { return "\x28\x00" + number(offset) }

// Store8 writes the lowest byte of an i32 to address plus offset: address, value.
func Store8(offset int) Code { return "\x3a\x00" + number(offset) }

// Store32 writes an i32 to address plus offset: address, value.
func Store32(offset int) Code { return "\x36\x00" + number(offset) }

// Store64 writes an i64 to address plus offset: address, value.
func Store64(offset int) Code { return "\x37\x00" + number(offset) }

func number(n int) Code { return Code(Uint(n)) }
