package meter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The size of the official test suite in wazero v1.12.0. The test fails if it runs fewer commands.
const (
	specModules    = 2472
	specAssertions = 64447
	specRefusals   = 4577
)

type specCommand struct {
	Type       string
	Line       int
	Name       string
	Filename   string
	As         string
	ModuleType string `json:"module_type"`
	Action     struct {
		Type, Field, Module string
		Args                []specValue
	}
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// TestOfficialSuite runs each command of the official test suite with the plain and the rewritten module. It checks
// that values and traps are the same, and that invalid modules are refused.
func TestOfficialSuite(t *testing.T) {
	dir := wazeroDir(t)
	var total specCounts
	for _, version := range []string{"v1", "v2"} {
		files, err := filepath.Glob(filepath.Join(dir, "internal/integration_test/spectest", version, "testdata/*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name := version + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
			t.Run(name, func(t *testing.T) {
				s := newTwins(t, dir)
				s.run(file)
				total.add(s.specCounts)
			})
		}
	}
	t.Logf("%+v", total)
	if total.Modules < specModules || total.Assertions < specAssertions || total.Refusals < specRefusals {
		t.Errorf("the suite is larger than what was run: %d modules of %d, %d assertions of %d, %d refusals of %d",
			total.Modules, specModules, total.Assertions, specAssertions, total.Refusals, specRefusals)
	}
}

func wazeroDir(t testing.TB) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

type specCounts struct {
	Modules    int // instantiated on both sides
	Assertions int // calls on both sides
	Traps      int // of these, those that trapped
	Refusals   int // invalid modules that both sides refuse
	NotAllowed int // valid modules that Rewrite refuses: they import memories, tables or globals
	Skipped    int // commands that need one of those, and modules in the text format
}

func (c *specCounts) add(d specCounts) {
	c.Modules += d.Modules
	c.Assertions += d.Assertions
	c.Traps += d.Traps
	c.Refusals += d.Refusals
	c.NotAllowed += d.NotAllowed
	c.Skipped += d.Skipped
}

// twins is two runtimes that execute the same commands, one with plain and one with rewritten modules.
type twins struct {
	specCounts
	t       *testing.T
	plain   wazero.Runtime
	metered wazero.Runtime
	last    *twin
	named   map[string]*twin
}

type twin struct{ plain, metered api.Module }

func newTwins(t *testing.T, dir string) *twins {
	s := &twins{t: t, named: map[string]*twin{}}
	s.plain = wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler())
	t.Cleanup(func() { s.plain.Close(context.Background()) })
	s.metered = newRuntime(t, wazero.NewRuntimeConfigCompiler(), maxPages)
	wasm, err := os.ReadFile(filepath.Join(dir, "internal/integration_test/spectest/testdata/spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.instantiate(wasm, "spectest"); err != nil || p == nil {
		t.Fatal("spectest:", err)
	}
	return s
}

// instantiate instantiates both modules. It returns nil and no error if both sides refuse the module, or if it is not
// allowed.
func (s *twins) instantiate(wasm []byte, name string) (*twin, error) {
	ctx := allow(math.MaxInt)
	config := wazero.NewModuleConfig().WithName(name).WithStartFunctions()
	m, err := Rewrite(wasm, Limits{MemoryPages: maxPages, TableElements: 1 << 24})
	if errors.Is(err, ErrNotAllowed) {
		if _, err := s.plain.CompileModule(ctx, wasm); err != nil {
			s.Refusals++
		} else {
			s.NotAllowed++
		}
		return nil, nil
	}
	plain, plainErr := s.plain.InstantiateWithConfig(ctx, wasm, config)
	var metered api.Module
	if err == nil {
		metered, err = s.metered.InstantiateWithConfig(ctx, m.Wasm, config)
	}
	if err == nil && m.Start {
		if _, err = metered.ExportedFunction(StartExport).Call(ctx); err != nil {
			metered.Close(ctx)
			err = fmt.Errorf("start %w", err)
		}
	}
	switch {
	case plainErr != nil && err != nil:
		s.Refusals++
		return nil, nil
	case plainErr != nil && m.Start && strings.Contains(plainErr.Error(), "undeclared function"):
		return nil, nil // the rewritten module exports the start function, which declares it
	case plainErr != nil || err != nil:
		return nil, fmt.Errorf("plain: %v; metered: %v", plainErr, err)
	}
	s.Modules++
	return &twin{plain, metered}, nil
}

func (s *twins) run(file string) {
	var script struct{ Commands []specCommand }
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &script); err != nil {
		s.t.Fatal(err)
	}
	for i, c := range script.Commands {
		switch c.Type {
		case "module", "assert_malformed", "assert_invalid", "assert_unlinkable", "assert_uninstantiable":
			if c.ModuleType == "text" {
				s.Skipped++
				continue
			}
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
			if err != nil {
				s.t.Fatal(err)
			}
			registered := ""
			if next := i + 1; next < len(script.Commands) && script.Commands[next].Type == "register" {
				registered = script.Commands[next].As
			}
			p, err := s.instantiate(wasm, registered)
			if err != nil {
				s.t.Errorf("line %d: %s: %v", c.Line, c.Type, err)
			}
			if c.Type != "module" {
				continue // a module that only one side accepts is an error above
			}
			s.last = p
			if c.Name != "" {
				s.named[c.Name] = p
			}
		case "action", "assert_return", "assert_trap", "assert_exhaustion":
			p := s.last
			if c.Action.Module != "" {
				p = s.named[c.Action.Module]
			}
			if p == nil {
				s.Skipped++
				continue
			}
			if err := s.act(p, &c); err != nil {
				s.t.Errorf("line %d: %s %s: %v", c.Line, c.Type, c.Action.Field, err)
			}
		case "register":
		default:
			s.t.Fatalf("line %d: command %q", c.Line, c.Type)
		}
	}
}

func (s *twins) act(p *twin, c *specCommand) error {
	ctx := allow(math.MaxInt)
	if c.Action.Type == "get" {
		s.Assertions++
		want, got := p.plain.ExportedGlobal(c.Action.Field).Get(), p.metered.ExportedGlobal(c.Action.Field).Get()
		if want != got {
			return fmt.Errorf("plain %x, metered %x", want, got)
		}
		return nil
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.slots()...)
	}
	f := p.plain.ExportedFunction(c.Action.Field)
	depth := p.metered.ExportedGlobal(DepthExport)
	before := depth.Get()
	want, wantErr := f.Call(ctx, args...)
	got, gotErr := p.metered.ExportedFunction(c.Action.Field).Call(ctx, args...)
	s.Assertions++
	if wantErr != nil || gotErr != nil {
		s.Traps++
		p.metered.ExportedGlobal(DepthExport).(api.MutableGlobal).Set(before)
		same := firstLine(wantErr) == firstLine(gotErr) || c.Type == "assert_exhaustion" && wantErr != nil && gotErr != nil
		if !same {
			return fmt.Errorf("plain error %q, metered %q", firstLine(wantErr), firstLine(gotErr))
		}
		return nil
	}
	if depth.Get() != before {
		return fmt.Errorf("depth was %d, is %d", before, depth.Get())
	}
	return sameValues(f.Definition().ResultTypes(), want, got)
}

// sameValues compares results bit by bit, except NaNs, whose bits the specification does not determine, and function
// references, which are addresses.
func sameValues(types []ValueType, want, got []uint64) error {
	if len(want) != len(got) {
		return fmt.Errorf("plain %x, metered %x", want, got)
	}
	slot := 0
	for _, t := range types {
		same := want[slot] == got[slot]
		switch t {
		case f32:
			w, g := api.DecodeF32(want[slot]), api.DecodeF32(got[slot])
			same = same || w != w && g != g
		case f64:
			w, g := api.DecodeF64(want[slot]), api.DecodeF64(got[slot])
			same = same || w != w && g != g
		case funcref:
			same = (want[slot] == 0) == (got[slot] == 0)
		case v128:
			slot++
			same = same && want[slot] == got[slot]
		}
		if !same {
			return fmt.Errorf("plain %x, metered %x", want, got)
		}
		slot++
	}
	return nil
}

// slots returns the value in the form of an argument of a call.
func (v specValue) slots() []uint64 {
	if v.Type != "v128" {
		return []uint64{v.number(v.Value, v.Type)}
	}
	lanes := v.Value.([]any)
	width := 128 / len(lanes)
	out := make([]uint64, 2)
	for i, l := range lanes {
		bit := i * width
		out[bit/64] |= v.number(l, v.LaneType) << (bit % 64)
	}
	return out
}

func (v specValue) number(value any, kind string) uint64 {
	text := value.(string)
	if text == "null" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	if kind == "externref" {
		n++ // zero is null
	}
	return n
}
