package hostile

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
	preview1 "github.com/mootchat/moot/host/wasi"
)

// anyCalls returns a guest that makes random host calls, of the contract and of WASI, fills its result slots with random
// numbers, and returns a random answer. Many numbers are near the limits of something.
func anyCalls(r *rand.Rand) func(g *guest) asm.Code {
	numbers := []int{0, 1, 2, 3, 4, text, 16, 64, 80, 128, 255, 256, 257, 1 << 10, 4<<10 + 1, frame, frame + abi.ResultExtra, frame + 96,
		everything, 64<<10 + 1, 1 << 20, end - 100, end - 8, end - 5, end - 4, end - 1, end, end + 1, math.MaxInt32, math.MinInt32, -1, -4, -8, -16, -65536}
	number := func() int { return numbers[r.IntN(len(numbers))] + r.IntN(3)*r.IntN(2) }
	return func(g *guest) asm.Code {
		g.Data(80, []byte("\xff\xfe{}[]\"a\n\r\x00\xf0\x9f"))
		g.Data(1<<10, []byte(strings.Repeat(`{"extra":[1,"\ud800"],"from":null}`, 40)))
		var code asm.Code
		call := func(f asm.Code, params []string, results bool) {
			for range 1 + r.IntN(3) {
				for _, p := range params {
					if p == "i64" {
						code += asm.I64(number())
					} else {
						code += asm.I32(number())
					}
				}
				code += f
				if results {
					code += asm.Drop
				}
				if r.IntN(4) == 0 { // a record with pointers and lengths
					at := []int{1 << 10, scratch, frame + 200, everything}[r.IntN(4)]
					for k := range 4 {
						code += poke(at+4*k, number())
					}
				}
			}
		}
		for range 12 {
			if r.IntN(2) == 0 {
				c := &hostCalls[r.IntN(len(hostCalls))]
				params, _, _ := strings.Cut(c.signature, "->")
				call(g.host(c.name, c.signature), strings.Fields(params), true)
				continue
			}
			names := preview1.Names()
			name := names[r.IntN(len(names))]
			if name == "proc_exit" && r.IntN(8) > 0 {
				continue
			}
			f, _ := preview1.Lookup(name)
			var params []string
			for _, p := range f.Params {
				params = append(params, api.ValueTypeName(p))
			}
			signature := strings.Join(params, " ") + " -> "
			if len(f.Results) > 0 {
				signature += "i32"
			}
			call(asm.Call(g.Import(preview1.ModuleName, name, signature)), params, len(f.Results) > 0)
		}
		for slot := abi.ResultCode; slot <= abi.ResultVariantCount; slot += 4 {
			if r.IntN(3) == 0 {
				code += put(slot, number())
			}
		}
		if r.IntN(4) == 0 {
			code += span(abi.ResultMessage, 1<<10, r.IntN(200)) + put(abi.ResultMessageKind, r.IntN(4))
		}
		return code + asm.I32(r.IntN(8)-1)
	}
}

// TestNoHostCallBreaksTheHost runs modules of random host calls and results at every hook. Whatever they do is a failure
// of theirs or an answer, but never a fault of the host's code.
func TestNoHostCallBreaksTheHost(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	w := openWith(t, host.Config{})
	defer w.end()
	for n := range anyCallModules {
		m := module{wasm: guestOf(everyHook, anyCalls(r))}
		m.entry.Grants, m.entry.Timeout, m.entry.Config = allGrants, 20*time.Millisecond, []byte(`{"hello":{"a":[1]}}`)
		if err := w.load([]module{m}); err != nil {
			t.Fatalf("seed %d, module %d: %v", seed, n, err)
		}
		for _, at := range everyHook {
			w.ask("hostile", at)
		}
		for _, bug := range []string{"runtime error", "nil pointer", "goroutine ", "panic"} {
			if w.log.has(bug) {
				t.Fatalf("seed %d, module %d: %.3000s", seed, n, w.log)
			}
		}
	}
	w.goodAnswers()
}

const anyCallModules = 60
