package node

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// stranger returns a valid module, changed by more.
func stranger(more func(*asm.Module)) string {
	m := new(asm.Module)
	more(m) // called first, because imports precede functions
	m.Memory(2, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(1<<16))
	return string(m.Wasm())
}

// TestAModuleThatCannotBeUsedIsReportedWhereOperatorsLook checks that a reload with an unusable module does not change
// the rules, and that the answer, the log, the status of the node and its readiness have the reason.
func TestAModuleThatCannotBeUsedIsReportedWhereOperatorsLook(t *testing.T) {
	dir := t.TempDir()
	s := inProcess(t, stamps(t, dir, 1))
	ask, err := client.New("http://"+s.Admin, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, module, want string }{
		{"built wrong", "no module", `moot.yaml:7: modules.a: module a: `},
		{"does not start", stranger(func(m *asm.Module) { m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.Unreachable) }),
			`moot.yaml:12: tenants.default.chain\[0\]: module a: it does not start: .*unreachable`},
		{"wants what it was not granted", stranger(func(m *asm.Module) {
			m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32")
		}), `moot.yaml:12: tenants.default.chain\[0\]: module a: .*kv`},
	} {
		t.Run(test.name, func(t *testing.T) {
			nodetest.Write(t, filepath.Join(dir, "a.wasm"), test.module)
			wants := regexp.MustCompile(test.want)
			results, err := ask.Reload(t.Context(), false)
			if err != nil || results[0].OK || !wants.MatchString(strings.Join(results[0].Problems, "\n")) {
				t.Errorf("the reload: %+v, %v", results, err)
			}
			if err := s.Log.Await(regexp.MustCompile("reload refused.*module a: ")); err != nil {
				t.Error(err)
			}
			if _, nodes, err := ask.Nodes(t.Context()); err != nil || nodes[0].LastReload == nil || !wants.MatchString(strings.Join(nodes[0].LastReload.Problems, "\n")) {
				t.Errorf("the node: %+v, %v", nodes, err)
			}
			if status, text := health(t, s); status != http.StatusOK || !wants.MatchString(text) {
				t.Errorf("its health: %d %s", status, text)
			}
			talkTo(t, s.Socket, "say hall hello", `"receive-a":1,.*"receive-b":1,`)
		})
	}
	stamps(t, dir, 2)
	if results, err := ask.Reload(t.Context(), false); err != nil || !results[0].OK {
		t.Errorf("the reload: %+v, %v", results, err)
	}
	if status, text := health(t, s); status != http.StatusOK || strings.Contains(text, "module a") {
		t.Errorf("its health: %d %s", status, text)
	}
	talkTo(t, s.Socket, "say hall hello", `"receive-a":2,.*"receive-b":2,`)
}
