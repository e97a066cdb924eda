package bench

import (
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// exchange is the address of the exchange buffer of these guests.
const exchange = 1 << 16

// Instructions that only these guests use.
const (
	load8     asm.Code = "\x2d\x00\x00" // address
	greaterEq asm.Code = "\x4e"         // i32, signed: the end may be negative
)

// word is the word that the filter searches for.
const word = "spam"

// Filter returns a module that denies messages with "spam" at onSayReceive. At say it drops the message for receivers
// whose locale begins with x.
func Filter(manifest string) []byte {
	m := blank()
	m.Custom(abi.ManifestSection, []byte(manifest))
	const frame, blob, at, end = 0, 1, 1, 2
	m.FuncWith("on_say_receive", "i32 -> i32", "i32 i32",
		asm.Get(frame)+asm.Get(frame)+asm.Load32(abi.FrameEvent)+asm.Add+asm.Tee(blob)+
			asm.Get(blob)+field(abi.EventMessage)+asm.Add+ // address of the message
			asm.Get(blob)+length(abi.EventMessage)+
			asm.Set(end)+asm.Tee(at)+asm.Get(end)+asm.Add+asm.Set(end)+
			Scan(at, end))
	m.FuncWith("on_say", "i32 -> i32", "i32 i32 i32 i32", perReceiver())
	return m.Wasm()
}

// Scan returns code that leaves 1 if the word is between two addresses, else 0. This is the main work of the filter.
// The parameters are the indices of the locals with the addresses. The code changes the first local.
func Scan(at, end int) asm.Code {
	wanted := int(word[0]) | int(word[1])<<8 | int(word[2])<<16 | int(word[3])<<24
	return asm.Get(end) + asm.I32(len(word)-1) + asm.Sub + asm.Set(end) +
		asm.Block(asm.Loop(
			asm.Get(at)+asm.Get(end)+greaterEq+asm.BrIf(1)+
				asm.Get(at)+asm.Load32(0)+asm.I32(wanted)+asm.Equal+asm.If(asm.I32(abi.Deny)+asm.Return)+
				asm.Get(at)+asm.I32(1)+asm.Add+asm.Set(at)+asm.Br(0))) +
		asm.I32(abi.Allow)
}

// perReceiver returns code that reads the locale of each receiver and writes its verdict byte.
func perReceiver() asm.Code {
	const frame, table, verdict, last, blob = 0, 1, 2, 3, 4
	inFrame := func(slot int) asm.Code {
		return asm.Get(frame) + asm.Get(frame) + asm.Load32(slot) + asm.Add
	}
	return inFrame(abi.FrameReceiverTab) + asm.Set(table) +
		inFrame(abi.FrameVerdicts) + asm.Tee(verdict) +
		asm.Get(frame) + asm.Load32(abi.FrameReceivers) + asm.Add + asm.Set(last) +
		asm.Loop(asm.Get(frame)+asm.Get(table)+asm.Load32(0)+asm.Add+asm.Tee(blob)+
			asm.Get(blob)+field(abi.ConnLocale)+asm.Add+load8+asm.I32('x')+asm.Equal+
			asm.If(asm.Get(verdict)+asm.I32(abi.VerdictDrop)+asm.Store8(0))+
			asm.Get(table)+asm.I32(4)+asm.Add+asm.Set(table)+
			asm.Get(verdict)+asm.I32(1)+asm.Add+asm.Tee(verdict)+asm.Get(last)+asm.LessU+asm.BrIf(0)) +
		asm.I32(abi.PerReceiver)
}

// field returns code that reads the offset of a field. The address of the blob is on the stack.
func field(f abi.Field) asm.Code { return asm.Load32(abi.BlobTable + 8*int(f)) }

func length(f abi.Field) asm.Code { return asm.Load32(abi.BlobTable + 8*int(f) + 4) }

// Nothing returns a module whose on_say_receive allows and does nothing else.
func Nothing() []byte {
	m := blank()
	m.Func("on_say_receive", "i32 -> i32", asm.I32(abi.Allow))
	return m.Wasm()
}

// blank returns a module with the parts that all of these modules have.
func blank() *asm.Module {
	m := new(asm.Module)
	m.Memory(24, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	return m
}
