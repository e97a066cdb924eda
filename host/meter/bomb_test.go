package meter

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

// bombs are small modules that take long to compile; with a larger n they take longer. Measurements of wazero 1.12 led
// to them.
var bombs = map[string]func(n int) []byte{
	"ifs with many locals": func(n int) []byte {
		return longBody(n, repeat(n, func(i int) []byte {
			return cat(at(opLocalGet, uint32(i)), ops(opIf, 0x40), i32c(int32(i)), at(opLocalSet, uint32(i*7%n)), ops(opEnd))
		}), useAll(n))
	},
	"loops with many locals": func(n int) []byte {
		return longBody(n, repeat(n, func(i int) []byte {
			return cat(ops(opLoop, 0x40), at(opLocalGet, uint32(i)), i32c(1), ops(0x6a), at(opLocalTee, uint32(i*7%n)), ops(opBrIf, 0, opEnd))
		}), useAll(n))
	},
	"ifs": func(n int) []byte {
		return longBody(1, repeat(5*n, func(int) []byte { return cat(at(opLocalGet, 0), ops(opIf, 0x40, opEnd)) }))
	},
	"fills": func(n int) []byte {
		return longBody(1, repeat(2*n, func(int) []byte { return cat(i32c(0), i32c(0), i32c(0), ops(0xfc, 11, 0)) }))
	},
	"grows": func(n int) []byte {
		return longBody(1, repeat(4*n, func(int) []byte { return cat(i32c(0), ops(0x40, 0, 0x1a)) }))
	},
	"br_table": func(n int) []byte {
		return longBody(200, repeat(100, func(int) []byte { return ops(opBlock, 0x40) }),
			repeat(200, func(i int) []byte { return cat(i32c(int32(i)), at(opLocalSet, uint32(i))) }),
			at(opLocalGet, 0), at(opBrTable, uint32(10*n)), repeat(10*n+1, func(i int) []byte { return ops(byte(i % 100)) }),
			repeat(100, func(i int) []byte { return cat(ops(opEnd), i32c(int32(i)), at(opLocalSet, uint32(i*7%200))) }), useAll(200))
	},
	"calls with many results": func(n int) []byte {
		b := newBuilder()
		many := bytes.Repeat([]byte{i32}, 1000)
		b.fn("g", many, many, nil, ops(opUnreachable))
		b.fn("f", many, many, nil, repeat(1000, func(i int) []byte { return at(opLocalGet, uint32(i)) }), repeat(n/2, func(int) []byte { return at(opCall, 0) }))
		return b.wasm()
	},
	"blocks with many values": func(n int) []byte { return manyValues(opBlock, n/2) },
	"loops with many values":  func(n int) []byte { return manyValues(opLoop, n/4) },
	"nested loops": func(n int) []byte {
		return longBody(1, repeat(4*n, func(int) []byte { return ops(opLoop, 0x40) }),
			repeat(4*n, func(int) []byte { return cat(at(opLocalGet, 0), ops(opBrIf, 0, opEnd)) }))
	},
	"nested loops with many locals": func(n int) []byte {
		return longBody(n, repeat(n, func(i int) []byte {
			return cat(ops(opLoop, 0x40), at(opLocalGet, uint32(i)), at(opLocalSet, uint32(i*7%n)))
		}),
			repeat(n, func(i int) []byte { return cat(at(opLocalGet, uint32(i)), ops(opBrIf, byte(i%min(n-i, 100)), opEnd)) }))
	},
	"loads": func(n int) []byte {
		b := newBuilder()
		b.memory(1, -1)
		for range n {
			b.fn("", nil, nil, nil, repeat(1000, func(i int) []byte { return cat(i32c(int32(i)), ops(0x28, 2, 0, 0x1a)) }))
		}
		return b.wasm()
	},
	"functions": func(n int) []byte {
		b := newBuilder()
		for range 50 * n {
			b.fn("", nil, nil, nil)
		}
		return b.wasm()
	},
	"nested blocks": func(n int) []byte {
		return longBody(1, repeat(4*n, func(int) []byte { return ops(opBlock, 0x40) }), repeat(4*n, func(int) []byte { return ops(opEnd) }))
	},
}

// manyValues returns a module with n blocks or loops that take and return 500 values each.
func manyValues(op byte, n int) []byte {
	b := newBuilder()
	many := bytes.Repeat([]byte{i32}, 500)
	t := b.typ(many, many)
	b.fn("f", many, many, nil, repeat(500, func(i int) []byte { return at(opLocalGet, uint32(i)) }),
		repeat(n, func(int) []byte { return cat(at(op, t), i32c(0), ops(opBrIf, 0, opEnd)) }))
	return b.wasm()
}

func longBody(locals int, code ...[]byte) []byte {
	b := newBuilder()
	b.memory(1, -1)
	b.add(functionSection, appendU32(nil, b.typ(nil, nil)))
	b.body("", append(cat(append(appendU32([]byte{1}, uint32(locals)), i32), cat(code...)), opEnd))
	return b.wasm()
}

func useAll(n int) []byte {
	return repeat(n, func(i int) []byte { return cat(at(opLocalGet, uint32(i)), ops(0x1a)) })
}

// TestLimitsBoundCompileTime makes each bomb larger until a limit that keeps the test short refuses it, and compiles
// the largest accepted one. It checks that the time, relative to the estimate, is not many times that of ordinary code
// on the same machine.
func TestLimitsBoundCompileTime(t *testing.T) {
	limits := Limits{CompileTime: 200 * time.Millisecond}
	const margin = 6 // the estimate is wrong by a factor of up to three; the rest is for other work on the machine
	ordinary, err := Rewrite(ordinaryCode(), limits)
	if err != nil {
		t.Fatal(err)
	}
	pace := max(compilePace(t, ordinary), compilePace(t, ordinary))
	for name, bomb := range bombs {
		var last *Module
		var err error
		n := 20
		for ; err == nil && n < 20_000; n += n / 4 {
			var m *Module
			if m, err = Rewrite(bomb(n), limits); err == nil {
				last = m
			}
		}
		if !errors.Is(err, ErrLimit) || last == nil {
			t.Errorf("%s: at %d: %v", name, n, err)
			continue
		}
		p := compilePace(t, last)
		t.Logf("%-24s %7d bytes: %.1f times the estimate, ordinary code %.1f times", name, last.Usage[fileBytes].Used, p, pace)
		if p > margin*pace {
			t.Errorf("%s: takes %.1f times the estimate, ordinary code %.1f times", name, p, pace)
		}
	}
}

// compilePace compiles m and returns the compile time divided by the estimate.
func compilePace(t *testing.T, m *Module) float64 {
	t.Helper()
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler(), 256)
	begin := time.Now()
	if _, err := rt.CompileModule(t.Context(), m.Wasm); err != nil {
		t.Fatal(err)
	}
	estimate := time.Duration(m.Usage[compileMillis].Used) * time.Millisecond
	return float64(time.Since(begin)) / float64(estimate)
}

func ordinaryCode() []byte {
	b := newBuilder()
	x, y := at(opLocalGet, 0), at(opLocalGet, 1)
	for range 300 {
		b.fn("", nil, nil, ops(4, i32), repeat(60, func(int) []byte {
			return cat(x, y, ops(0x6a), at(opLocalTee, 2), i32c(3), ops(0x71, opIf, 0x40), x, i32c(1), ops(0x6a), at(opLocalSet, 0), ops(opEnd))
		}))
	}
	return b.wasm()
}

// TestDefaultLimitsRefuseTheWorst checks that the default limits refuse the worst known bombs. The first one has 46 KB,
// and took 20 seconds and 1.7 GB to compile.
func TestDefaultLimitsRefuseTheWorst(t *testing.T) {
	for name, n := range map[string]int{"ifs with many locals": 3000, "br_table": 10_000, "calls with many results": 4000, "fills": 10_000} {
		begin := time.Now()
		_, err := Rewrite(bombs[name](n), Limits{})
		if took := time.Since(begin); !errors.Is(err, ErrLimit) || took > time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}
