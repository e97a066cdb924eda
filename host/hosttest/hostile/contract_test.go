package hostile

import (
	"strings"
	"testing"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestInvalidModulesAreRefused loads modules whose imports do not exist, or whose exports differ from the contract. It
// checks that the error suggests what to do.
func TestInvalidModulesAreRefused(t *testing.T) { run(t, contract) }

var contract = []attack{
	{name: "no module", tries: "to have anything taken for a module", refused: "is not a WebAssembly module",
		wasm: func() []byte { return []byte("#!/bin/sh\nrm -rf /\n") }},
	{name: "empty file", tries: "nothing at all", refused: "is not a WebAssembly module", wasm: func() []byte { return []byte{} }},
	{name: "a program", tries: "to be no Moot module", refused: "does not export moot_abi_1; build it with an SDK",
		wasm: bomb(func(m *asm.Module) { m.Func("_start", "->", "") })},
	{name: "no memory", tries: "to have the host read a memory there is not", refused: `does not export its memory as "memory"`,
		wasm: bomb(func(m *asm.Module) {
			m.Func(abi.ExportMarker, "->", "")
			m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(8))
		})},
	{name: "memory of no pages", tries: "to have the host reserve nothing, and write there", refused: "out of bounds memory access",
		wasm: abiAnd(func(g *guest) { g.Section(asm.Memories, []byte{1, 1, 0, 0}) })},
	{name: "memory not exported", tries: "to keep its memory to itself", refused: `does not export its memory as "memory"`,
		wasm: bomb(func(m *asm.Module) {
			m.Memory(2, 2)
			m.Func(abi.ExportMarker, "->", "")
			m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(8))
		})},
	{name: "memory is a function", tries: "to have the host take a function for a memory", refused: "export memory is a func, it must be the memory",
		wasm: bomb(func(m *asm.Module) {
			m.Memory(2, 2)
			m.Func(abi.ExportMemory, "->", "")
			m.Func(abi.ExportMarker, "->", "")
			m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(8))
		})},
	{name: "hook takes i64", tries: "to be called with an argument of another size", refused: "export on_say is (i64) -> (i32), it must be (i32) -> (i32)",
		wasm: abiAnd(func(g *guest) { g.Func("on_say", "i64 -> i32", asm.I32(0)) })},
	{name: "hook takes ten arguments", tries: "to read arguments that nobody gave", refused: "export on_join is",
		wasm: abiAnd(func(g *guest) { g.Func("on_join", strings.Repeat("i64 ", 10)+"-> i32", asm.I32(0)) })},
	{name: "hook gives nothing", tries: "to have a leftover taken for its answer", refused: "export on_leave is (i32) -> (), it must be",
		wasm: abiAnd(func(g *guest) { g.Func("on_leave", "i32 ->", "") })},
	{name: "hook is a variable", tries: "to have a variable called", refused: "export on_leave is a global, it must be a function",
		wasm: abiAnd(func(g *guest) { g.Export("on_leave", asm.Global, g.Global("i32", asm.I32(0))) })},
	{name: "moot_alloc gives i64", tries: "to give an address of 64 bits", refused: "export moot_alloc is",
		wasm: bomb(func(m *asm.Module) {
			m.Memory(2, 2)
			m.Export(abi.ExportMemory, asm.Memory, 0)
			m.Func(abi.ExportMarker, "->", "")
			m.Func(abi.ExportAlloc, "i32 -> i64", asm.I64(1<<40))
		})},
	{name: "moot_alloc refuses", tries: "to have the host write to address 0", refused: "moot_alloc refused", wasm: allocates(0)},
	{name: "moot_alloc is not aligned", tries: "to have the host write across borders", refused: "not 8-aligned", wasm: allocates(frame + 1)},
	{name: "moot_alloc near the end", tries: "to have the host write behind its memory", refused: "are not in its memory", wasm: allocates(24<<16 - 8)},
	{name: "moot_alloc that wraps around", tries: "to have the host write before its memory", refused: "are not in its memory", wasm: allocates(-8)},
	{name: "unknown import", tries: "to link a missing function", refused: "may import from moot_1 and wasi_snapshot_preview1 alone",
		wasm: abiImports("env", "nop", "->")},
	{name: "newer import", tries: "to call what this host does not have", refused: "is the module newer than the host?",
		wasm: abiImports(abi.ImportModule, "shell", "i32 i32 -> i32")},
	{name: "import of another type", tries: "to hand over fewer arguments than are read", refused: "it imports moot_1.log as () -> (), but it is (i32, i32, i32) -> ()",
		wasm: abiImports(abi.ImportModule, abi.ImportLog, "->")},
	{name: "refuel", tries: "to fill its own account of fuel", refused: "moot_meter",
		wasm: abiImports("moot_meter", "refuel", "i64 -> i64")},
	{name: "fuel exported", tries: "to have the host take its variable for the account", refused: "moot_meter",
		wasm: abiAnd(func(g *guest) { g.Export("moot_meter_fuel", asm.Global, g.Global("i64", asm.I64(1<<62))) })},
	{name: "import of a memory", tries: "to be given another module's memory", refused: "memory",
		wasm: bomb(func(m *asm.Module) { m.Section(asm.Imports, append([]byte{1}, "\x06moot_1\x06memory\x02\x00\x01"...)) })},
	{name: "import of a table", tries: "to be given another module's functions", refused: "table",
		wasm: bomb(func(m *asm.Module) {
			m.Section(asm.Imports, append([]byte{1}, "\x06moot_1\x05table\x01\x70\x00\x01"...))
		})},
	{name: "import of a variable", tries: "to be given the account of fuel", refused: "global",
		wasm: bomb(func(m *asm.Module) { m.Section(asm.Imports, append([]byte{1}, "\x06moot_1\x04fuel\x03\x7e\x01"...)) })},
	{name: "import with a name of a megabyte", tries: "to fill the log with its error", refused: "it imports ",
		wasm: abiImports("env", strings.Repeat("n", 1<<20), "->")},
	{name: "900 unknown imports with long names", tries: "the same, in many small pieces", refused: "it imports ",
		wasm: abiAnd(func(g *guest) { repeat(900, func(int) { g.Import("env", strings.Repeat("n", 1<<10), "->") }) })},
	{name: "exceptions", tries: "to hold a reference that the collector does not know", refused: "instruction",
		wasm: bomb(func(m *asm.Module) { m.Func("", "->", "\x1f\x40\x00\x0b") })}, // try_table
	{name: "threads", tries: "to wait for memory to change, for ever", refused: "instruction",
		wasm: bomb(func(m *asm.Module) {
			m.Memory(1, 1)
			m.Func("", "->", asm.I32(0)+asm.I32(0)+asm.I64(-1)+"\xfe\x01\x02\x00"+asm.Drop)
		})},
	{name: "tail calls", tries: "to recurse without a frame that counts", refused: "instruction",
		wasm: bomb(func(m *asm.Module) { m.Func("", "->", "\x12\x00") })},
	{name: "code after the end of a function", tries: "to have code run that was not read", refused: "1 bytes too many",
		wasm: bomb(func(m *asm.Module) { m.Body("", "->", []byte{0, 0x0b, 0x0b}) })},
	{name: "function that leaves no result", tries: "to have a leftover taken for its answer", refused: "not enough results",
		wasm: abiAnd(func(g *guest) { g.Func("on_join", "i32 -> i32", "") })},
}

func TestCapabilitiesNeedGrants(t *testing.T) {
	var attacks []attack
	for name, fn := range map[string]struct{ signature, capability string }{
		abi.ImportKVGet:       {"i32 i32 i32 i32 -> i32", "kv"},
		abi.ImportKVSet:       {"i32 i32 i32 i32 i64 -> i32", "kv"},
		abi.ImportKVDel:       {"i32 i32 -> i32", "kv"},
		abi.ImportKVAdd:       {"i32 i32 i64 i64 i32 -> i32", "kv"},
		abi.ImportKVCAS:       {"i32 i32 i32 i32 i32 i32 i64 -> i32", "kv"},
		abi.ImportRateTake:    {"i32 i32 i32 i32 i32 -> i32", "rate"},
		abi.ImportEmit:        {"i32 i32 i32 i32 i32 -> i32", "emit"},
		abi.ImportRoomGet:     {"i32 i32 i32 i32 -> i32", "rooms"},
		abi.ImportRoomCreate:  {"i32 i32 -> i32", "rooms"},
		abi.ImportRoomDestroy: {"i32 i32 -> i32", "rooms"},
		abi.ImportPropertySet: {"i32 i32 i32 i32 -> i32", "properties:NAME"},
	} {
		attacks = append(attacks, attack{name: name, tries: "to call it without a grant",
			refused: "needs the capability \"" + fn.capability + "\": add it to the entry's grants", wasm: abiImports(abi.ImportModule, name, fn.signature)})
	}
	run(t, append(attacks,
		attack{name: "manifest", tries: "to have what it needs granted by asking", refused: `it needs the capability "kv": add it to the entry's grants`,
			build: manifest(`{"capabilities": ["kv"]}`)},
		attack{name: "another property", tries: "to set a property that it was not granted", refused: `it needs the capability "properties:role"`,
			entry: host.Entry{Grants: []string{"properties:mood"}}, build: manifest(`{"capabilities": ["properties:role"]}`)},
		attack{name: "unknown capability", tries: "to be granted what there is not", refused: `a capability "shell" that this host does not have`,
			build: manifest(`{"capabilities": ["shell"]}`)},
	))
}

func TestManifests(t *testing.T) {
	run(t, []attack{
		{name: "not JSON", tries: "to pass for a manifest", refused: "its manifest is not valid JSON of the expected shape", build: manifest("{")},
		{name: "deep", tries: "to use up the stack of who reads it", refused: "its manifest", build: manifest(strings.Repeat(`{"config":`, 6000))},
		{name: "deep schema", tries: "the same where anything is allowed", refused: "its manifest",
			build: manifest(`{"config":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`)},
		{name: "hook without a function", tries: "to be asked where it has no function", refused: "names the hook \"say\", for which it exports nothing",
			build: manifest(`{"hooks": ["say"]}`)},
		{name: "10,000 unknown hooks", tries: "to fill the log with its errors", refused: "names the hook",
			build: manifest(`{"hooks": [` + strings.Repeat(`"x",`, 10_000) + `"x"]}`)},
		{name: "10,000 unknown fields", tries: "the same with reads", refused: "reads: unknown field",
			build: manifest(`{"reads": [` + strings.Repeat(`"x",`, 10_000) + `"x"]}`)},
		{name: "varies by what it does not read", tries: "to see by its classes what it may not read", refused: `vary: "user" is not among reads`,
			build: manifest(`{"reads": ["message"], "vary": ["user"]}`)},
		{name: "too large", tries: "to hand over 16 MiB to be read as JSON", refused: "its manifest cannot be read",
			build: manifestAt(0, 1<<20)},
		{name: "beyond the memory", tries: "to have the host's memory read as its manifest", refused: "its manifest cannot be read",
			build: manifestAt(-8, 100)},
		{name: "no length but minus one", tries: "a length of 4 GiB", refused: "its manifest cannot be read", build: manifestAt(8, -1)},
		{name: "not UTF-8", tries: "to have invalid UTF-8 in the log", refused: "its manifest cannot be read",
			build: func(g *guest) asm.Code { g.Data(64, []byte("{\"name\":\"\xff\xfe\"}")); return manifestAt(64, 13)(g) }},
	})
}

// TestHostFunctionsForHooks loads modules that export imported host functions in place of their own, and checks that
// the host treats them like any other function.
func TestHostFunctionsForHooks(t *testing.T) {
	run(t, []attack{
		{name: "as hooks", tries: "to have the host call itself, with the frame for a file", kind: "protocol", says: "returned 8, which means nothing there",
			wasm: func() []byte {
				return guestOf(nil, func(g *guest) asm.Code {
					g.Export(abi.OnSayReceive.Export(), asm.Func, g.Import(wasi, "fd_close", "i32 -> i32"))
					return answers(0)
				})
			}},
		{name: "as moot_alloc", tries: "to have the host allocate for it: address 8 is its own", wasm: func() []byte {
			m := new(asm.Module)
			close := m.Import(wasi, "fd_close", "i32 -> i32")
			m.Memory(2, 16)
			m.Export(abi.ExportMemory, asm.Memory, 0)
			m.Export(abi.ExportAlloc, asm.Func, close)
			m.Func(abi.ExportMarker, "->", "")
			m.Func(abi.OnSayReceive.Export(), "i32 -> i32", asm.I32(abi.Allow))
			return m.Wasm()
		}},
		{name: "as _initialize", tries: "to have the host end the process", refused: "export _initialize is (i32) -> (), it must be () -> ()",
			wasm: abiAnd(func(g *guest) { g.Export(abi.ExportInitialize, asm.Func, g.Import(wasi, "proc_exit", "i32 ->")) })},
	})
}

func TestReservedModuleNames(t *testing.T) {
	var attacks []attack
	for _, name := range []string{abi.ImportModule, "moot_meter", wasi} {
		attacks = append(attacks, attack{name: name, tries: "to stand where others look for the host's functions", build: func(g *guest) asm.Code {
			g.Custom("name", append([]byte{0, byte(len(name) + 1)}, asm.Name(name)...))
			return g.host(abi.ImportNow, "-> i64") + asm.Drop + answers(abi.Allow)
		}})
	}
	run(t, attacks)
}

// manifest returns a module with this manifest in its custom section.
func manifest(json string) func(*guest) asm.Code {
	return func(g *guest) asm.Code { g.manifest = json; return answers(0) }
}

// manifestAt returns a module whose moot_manifest returns this pointer and length.
func manifestAt(ptr, n int) func(*guest) asm.Code {
	return func(g *guest) asm.Code {
		g.Func(abi.ExportManifest, "-> i64", asm.I64(int(uint64(uint32(ptr))<<32|uint64(uint32(n)))))
		return answers(0)
	}
}

func allocates(at int) func() []byte { return abiAnd(func(g *guest) { g.alloc = asm.I32(at) }) }

func abiImports(module, name, signature string) func() []byte {
	return abiAnd(func(g *guest) { g.Import(module, name, signature) })
}
