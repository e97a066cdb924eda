package engine_test

import (
	"fmt"
	"go/types"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// TestLocksAreTakenInTheDocumentedOrder follows all static calls in the engine and fanout.
// It compares the locks that are taken while another one is held with the lock order in the
// documentation of package engine: the documentation must list each lock and each nesting,
// and nothing else. Calls to other packages while a lock is held must be in mayCall.
func TestLocksAreTakenInTheDocumentedOrder(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, ".", "./fanout")
	if err != nil || packages.PrintErrors(pkgs) > 0 {
		t.Fatalf("the packages cannot be loaded: %v", err)
	}
	program, _ := ssautil.Packages(pkgs, ssa.InstantiateGenerics)
	program.Build()
	a := &lockAnalysis{effects: map[*ssa.Function]*lockEffect{}, nested: map[string]string{}, outward: map[string]string{}}
	for f := range ssautil.AllFunctions(program) {
		if a.ours(f) {
			a.of(f)
		}
	}
	documented, listed := lockOrder(t)
	for _, p := range pkgs {
		for _, name := range mutexes(p.Types) {
			if !listed[name] {
				t.Errorf("the lock %s is not in the documented lock order", name)
			}
			delete(listed, name)
		}
	}
	for name := range listed {
		t.Errorf("the documented lock order has %s, which is not a lock", name)
	}
	for nesting, where := range a.nested {
		if !documented[nesting] {
			t.Errorf("%s: %s, against the documented lock order", where, nesting)
		}
		delete(documented, nesting)
	}
	for nesting := range documented {
		t.Errorf("the documentation has %s, and no code does so", nesting)
	}
	for call, where := range a.outward {
		if !slices.ContainsFunc(mayCall, func(s string) bool { return strings.HasPrefix(call, s) }) {
			t.Errorf("%s: %s", where, call)
		}
	}
}

// mayCall lists the allowed calls to other packages while a lock is held. They take no lock
// of the engine and do not wait.
var mayCall = []string{
	"Gate.mu is held over fanout.Sink.Bytes",
	"room.mu is held over receiver",
	"polling.mu is held over f",
	"verbContext.mu is held over context",
}

var lockLine = regexp.MustCompile(`(?m)^//\t([\w. ,]+)$`)

// lockOrder reads the section "Locks" of the documentation of package engine. In each line,
// a lock may be taken while those before it are held.
func lockOrder(t *testing.T) (nestings, locks map[string]bool) {
	source, err := os.ReadFile("engine.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(source), "// # Locks\n")
	section, _, _ = strings.Cut(section, "package engine\n")
	nestings, locks = map[string]bool{}, map[string]bool{}
	for _, line := range lockLine.FindAllStringSubmatch(section, -1) {
		names := strings.Split(line[1], ", ")
		for i, name := range names {
			locks[name] = true
			if i > 0 {
				nestings[nesting(names[i-1], name)] = true
			}
		}
	}
	return nestings, locks
}

func nesting(held, taken string) string {
	return fmt.Sprintf("%s is taken while %s is held", taken, held)
}

// mutexes returns the fields of a package's types that are a mutex, as Type.field.
func mutexes(p *types.Package) (names []string) {
	for _, name := range p.Scope().Names() {
		s, ok := p.Scope().Lookup(name).Type().Underlying().(*types.Struct)
		if !ok {
			continue
		}
		for f := range s.Fields() {
			if types.TypeString(f.Type(), nil) == "sync.Mutex" {
				names = append(names, name+"."+f.Name())
			}
		}
	}
	return names
}

// lockAnalysis finds the locks that are taken and the functions that are called while a
// lock is held. A lock is identified by its field, for all values of the type. Calls of
// interfaces and function values are not followed. outward contains calls to other packages
// while a lock is held.
type lockAnalysis struct {
	effects         map[*ssa.Function]*lockEffect
	nested, outward map[string]string // the value is the place in the source
}

// locks is a set of lock names.
type locks map[string]bool

// lockEffect describes the effect of a function on locks.
type lockEffect struct {
	takes    locks // locks that it takes
	releases locks // locks of its caller that it releases
	keeps    locks // locks that it holds when it returns
	calls    map[string]bool
}

func (a *lockAnalysis) ours(f *ssa.Function) bool {
	for f.Origin() != nil {
		f = f.Origin()
	}
	return f.Pkg != nil && strings.HasPrefix(f.Pkg.Pkg.Path(), "github.com/mootchat/moot/engine")
}

// of returns the effect of a function. It follows the control flow from block to block.
func (a *lockAnalysis) of(f *ssa.Function) *lockEffect {
	if e := a.effects[f]; e != nil {
		return e // a recursive call has no further effect
	}
	e := &lockEffect{locks{}, locks{}, locks{}, map[string]bool{}}
	a.effects[f] = e
	if len(f.Blocks) == 0 {
		return e
	}
	at := map[*ssa.BasicBlock]locks{f.Blocks[0]: {}}
	for todo := []*ssa.BasicBlock{f.Blocks[0]}; len(todo) > 0; todo = todo[1:] {
		held := maps.Clone(at[todo[0]])
		for _, i := range todo[0].Instrs {
			a.instruction(e, f, i, held)
		}
		for _, next := range todo[0].Succs {
			before, known := len(at[next]), at[next] != nil
			if !known {
				at[next] = locks{}
			}
			if maps.Copy(at[next], held); !known || len(at[next]) > before {
				todo = append(todo, next)
			}
		}
	}
	return e
}

func (a *lockAnalysis) instruction(e *lockEffect, f *ssa.Function, i ssa.Instruction, held locks) {
	switch i := i.(type) {
	case *ssa.Call:
		a.call(e, i, held)
	case *ssa.RunDefers:
		for _, b := range slices.Backward(f.Blocks) {
			for _, d := range slices.Backward(b.Instrs) {
				if d, ok := d.(*ssa.Defer); ok {
					a.call(e, d, held)
				}
			}
		}
	case *ssa.Return:
		maps.Copy(e.keeps, held)
	}
}

// call applies the effect of a call to the held locks.
func (a *lockAnalysis) call(e *lockEffect, i ssa.CallInstruction, held locks) {
	c, where := i.Common(), i.Parent().Prog.Fset.Position(i.Pos()).String()
	callee := c.StaticCallee()
	switch name := calledName(c); {
	case name == "(*sync.Mutex).Lock":
		lock := lockName(c.Args[0])
		a.take(locks{lock: true}, held, where)
		held[lock], e.takes[lock] = true, true
	case name == "(*sync.Mutex).Unlock":
		lock := lockName(c.Args[0])
		if !held[lock] {
			e.releases[lock] = true
		}
		delete(held, lock)
	case callee == nil && name != "":
		e.calls[name] = true
		a.leave(map[string]bool{name: true}, held, where)
	case callee != nil && a.ours(callee):
		of := a.of(callee)
		for lock := range of.releases {
			if !held[lock] {
				e.releases[lock] = true
			}
			delete(held, lock)
		}
		a.take(of.takes, held, where)
		a.leave(of.calls, held, where)
		maps.Copy(e.takes, of.takes)
		maps.Copy(e.calls, of.calls)
		maps.Copy(held, of.keeps)
	}
}

func (a *lockAnalysis) take(taken, held locks, where string) {
	for lock := range taken {
		for h := range held {
			a.nested[nesting(h, lock)] = where
		}
	}
}

func (a *lockAnalysis) leave(calls map[string]bool, held locks, where string) {
	for call := range calls {
		for h := range held {
			a.outward[fmt.Sprintf("%s is held over %s", h, call)] = where
		}
	}
}

// calledName returns the name of the called function, of the interface method, or of the
// variable that holds the function; "" for a builtin function.
func calledName(c *ssa.CallCommon) string {
	if c.IsInvoke() {
		return types.TypeString(c.Value.Type(), (*types.Package).Name) + "." + c.Method.Name()
	}
	switch v := c.Value.(type) {
	case *ssa.Builtin:
		return ""
	case *ssa.Function:
		return v.String()
	case *ssa.UnOp:
		if f, ok := v.X.(*ssa.FieldAddr); ok {
			return types.TypeString(v.Type(), (*types.Package).Name) + " " + lockName(f)
		}
		return types.TypeString(v.Type(), (*types.Package).Name)
	case *ssa.Parameter:
		return v.Name()
	}
	return types.TypeString(c.Value.Type(), (*types.Package).Name)
}

// lockName returns the name of a mutex field, as Type.field.
func lockName(v ssa.Value) string {
	f, ok := v.(*ssa.FieldAddr)
	if !ok {
		return v.String()
	}
	of := types.Unalias(f.X.Type().Underlying().(*types.Pointer).Elem())
	name := types.TypeString(of, func(*types.Package) string { return "" })
	return name + "." + of.Underlying().(*types.Struct).Field(f.Field).Name()
}
