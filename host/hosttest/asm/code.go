package asm

import "strings"

// Code is instructions, in the binary format: join them with +.
type Code string

const end Code = "\x0b"

// Instructions that take what they need from the stack alone.
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
	NaN         Code = "\x44\x00\x00\x00\x00\x00\x00\xf8\x7f" // f64
)

// Repeat is code n times over.
func Repeat(n int, code Code) Code { return Code(strings.Repeat(string(code), n)) }

// I32 is the constant; what does not fit is cut off.
func I32(n int) Code { return "\x41" + Code(Int(int(int32(n)))) }

// I64 is the constant.
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

// CallIndirect calls what table 0 has at the index on the stack, which must be of
// the type.
func CallIndirect(typ int) Code { return "\x11" + number(typ) + "\x00" }

// Block is a block without a result: [Br] leaves it.
func Block(code Code) Code { return "\x02\x40" + code + end }

// Loop is a loop without a result: [Br] begins it again, and it ends by itself.
func Loop(code Code) Code { return "\x03\x40" + code + end }

// If runs the code if the i32 on the stack is not 0.
func If(code Code) Code { return "\x04\x40" + code + end }

// Br goes to the block or loop that is depth blocks further out, 0 for the innermost.
func Br(depth int) Code { return "\x0c" + number(depth) }

// BrIf is [Br] if the i32 on the stack is not 0.
func BrIf(depth int) Code { return "\x0d" + number(depth) }

// BrTable is [Br] to 0 by a table of n entries.
func BrTable(n int) Code { return "\x0e" + number(n) + Code(make([]byte, n+1)) }

// Load32 reads an i32 from the address on the stack plus offset.
func Load32(offset int) Code { return "\x28\x00" + number(offset) }

// Store8 writes the lowest byte of an i32 to address plus offset: address, value.
func Store8(offset int) Code { return "\x3a\x00" + number(offset) }

// Store32 writes an i32 to address plus offset: address, value.
func Store32(offset int) Code { return "\x36\x00" + number(offset) }

// Store64 writes an i64 to address plus offset: address, value.
func Store64(offset int) Code { return "\x37\x00" + number(offset) }

func number(n int) Code { return Code(Uint(n)) }
