package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// hostel is a folder with the configuration of a node with tenants acme and bolt, each in a file of its own.
type hostel struct {
	*testing.T
	dir string
}

func newHostel(t *testing.T) *hostel {
	h := &hostel{t, t.TempDir()}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(h.dir, "cache"))
	if err := os.Mkdir(filepath.Join(h.dir, "tenants"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("shared.wasm", stranger(func(*asm.Module) {}))
	configured(t, h.dir, "include: ['tenants/*.yaml']\nmodules: { shared: { file: shared.wasm } }\ntenants: { default: {} }\n")
	h.acme(1)
	h.write("tenants/bolt.yaml", goodBolt)
	return h
}

func (h *hostel) write(name, text string) { nodetest.Write(h.T, filepath.Join(h.dir, name), text) }

func (h *hostel) file() string { return filepath.Join(h.dir, "moot.yaml") }

// acme writes the file of tenant acme, in one of two versions.
func (h *hostel) acme(version int) {
	h.write("tenants/acme.yaml", fmt.Sprintf("tenants:\n  acme:\n    match: { path: [/acme] }\n    limits: { rooms: %d }\n    chain: [{ module: shared }]\n", version))
}

const goodBolt = "tenants:\n  bolt:\n    match: { path: [/bolt] }\n    chain: [{ module: shared }]\n"

// boltFaults are files that make tenant bolt faulty, and the problem.
var boltFaults = []struct {
	name  string
	files map[string]string
	want  string
}{
	{"YAML", map[string]string{"tenants/bolt.yaml": "tenants:\n  bolt:\n    match: { path: [/bolt] }\n    chain: [{ module: shared }\n"},
		`bolt\.yaml:4: is not valid YAML`},
	{"unknown key", map[string]string{"tenants/bolt.yaml": goodBolt + "    romms: 1\n"},
		`bolt\.yaml:5: tenants\.bolt\.romms: unknown key`},
	{"value", map[string]string{"tenants/bolt.yaml": goodBolt + "    limits: { rooms: -1 }\n"},
		`bolt\.yaml:5: tenants\.bolt\.limits\.rooms: .*out of range`},
	{"above the node's limit", map[string]string{"tenants/bolt.yaml": goodBolt + "    limits: { messageBytes: 1MiB }\n"},
		`bolt\.yaml:5: tenants\.bolt\.limits\.messageBytes: .* more than the node's`},
	{"unknown module", map[string]string{"tenants/bolt.yaml": strings.Replace(goodBolt, "shared", "nobody", 1)},
		`bolt\.yaml:4: tenants\.bolt\.chain\[0\]\.module: unknown module "nobody"`},
	{"secret", map[string]string{"tenants/bolt.yaml": goodBolt + "    auth: { jwt: { secret: '${file:key}' } }\n"},
		`bolt\.yaml:5: tenants\.bolt\.auth\.jwt\.secret: .* is off in an included file`},
	{"key set", map[string]string{"tenants/bolt.yaml": goodBolt + "    auth: { jwt: { jwks: keys.json } }\n"},
		`bolt\.yaml:5: tenants\.bolt\.auth\.jwt: the key set keys\.json: `},
	{"no module file", map[string]string{"tenants/bolt.yaml": ownModule("{ file: nowhere.wasm }")},
		`bolt\.yaml:6: modules\.own: module own: .*nowhere\.wasm`},
	{"broken module", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm }"), "tenants/own.wasm": "no module"},
		`bolt\.yaml:6: modules\.own: module own: own\.wasm is not a WebAssembly module`},
	{"module settings", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm, script: own.lua }")},
		`bolt\.yaml:6: modules\.own: must have exactly one of`},
	{"config", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm }"),
		"tenants/own.wasm": stranger(func(m *asm.Module) { m.Func(abi.ExportInit, "i32 i32 i32 -> i32", asm.I32(1)) })},
		`bolt\.yaml:4: tenants\.bolt\.chain\[0\]: module own: it does not start: .*refused its config`},
	{"trap at the start", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm }"),
		"tenants/own.wasm": stranger(func(m *asm.Module) { m.Func(abi.ExportInitialize, "->", asm.Unreachable) })},
		`bolt\.yaml:4: tenants\.bolt\.chain\[0\]: module own: it does not start: trap`},
	{"grant", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm }"),
		"tenants/own.wasm": stranger(func(m *asm.Module) { m.Import(abi.ImportModule, abi.ImportKVGet, "i32 i32 i32 i32 -> i32") })},
		`bolt\.yaml:4: tenants\.bolt\.chain\[0\]: module own: .*kv`},
	{"digest", map[string]string{"tenants/bolt.yaml": ownModule("{ file: own.wasm, sha256: '" + strings.Repeat("0", 64) + "' }"), "tenants/own.wasm": stranger(func(*asm.Module) {})},
		`bolt\.yaml:6: modules\.own: module own: own\.wasm has the sha256`},
	{"script", map[string]string{"tenants/bolt.yaml": ownModule("{ script: own.lua }"), "tenants/own.lua": "\xff"},
		`bolt\.yaml:6: modules\.own: module own: own\.lua`},
	{"module server", map[string]string{"tenants/bolt.yaml": ownModule("{ url: 'https://127.0.0.1:1/own.wasm', sha256: '" + strings.Repeat("0", 64) + "' }")},
		`bolt\.yaml:6: modules\.own: module own: .*127\.0\.0\.1`},
}

// ownModule returns bolt's file with a module of its own.
func ownModule(module string) string {
	return strings.Replace(goodBolt, "shared", "own", 1) + "modules:\n  own: " + module + "\n"
}

// entered requests a WebSocket handshake of a tenant, and returns the status and the beginning of the answer.
func entered(t *testing.T, s *nodetest.Server, tenant string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /%s/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", tenant)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode == http.StatusSwitchingProtocols {
		return "open"
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r.StatusCode, " ", strings.TrimSpace(string(body)))
}

const refusedTenant = "503 tenant is not configured correctly"

// expect checks that acme is open, what bolt's clients get, and that the API, the readiness and the metrics name bolt's problem;
// "" means no problem.
func (h *hostel) expect(s *nodetest.Server, ask *client.Client, bolt, problem string, kept bool) {
	h.Helper()
	for tenant, want := range map[string]string{"acme": "open", "bolt": bolt} {
		if got := entered(h.T, s, tenant); got != want {
			h.Errorf("clients of %s: %s, want %s", tenant, got, want)
		}
	}
	_, nodes, err := ask.Nodes(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	var want []string
	if problem != "" {
		want = []string{problem}
	}
	checkFaults(h.T, nodes[0].Faults, want, kept)
	status, text := health(h.T, s)
	if found := regexp.MustCompile("not configured correctly|refused: ").MatchString(text); status != http.StatusOK || found != (problem != "") || !regexp.MustCompile(problem).MatchString(text) {
		h.Errorf("readiness: %d %s", status, text)
	}
	if _, text := (askPath(h.T, s, "/metrics")); !strings.Contains(text, fmt.Sprint("moot_tenants_faulty ", len(want))) {
		h.Error("the metrics do not count it")
	}
}

func askPath(t *testing.T, s *nodetest.Server, path string) (int, string) {
	t.Helper()
	return ask(t, s, path)
}

func checkFaults(t *testing.T, faults []api.TenantFault, want []string, kept bool) {
	t.Helper()
	if len(faults) != len(want) {
		t.Fatalf("faults %+v, want %q", faults, want)
	}
	for i, f := range faults {
		if f.Tenant != "bolt" || f.Kept != kept || len(f.Problems) != 1 || !regexp.MustCompile(want[i]).MatchString(f.Problems[0]) {
			t.Errorf("fault %+v, want %s", f, want[i])
		}
	}
}

func (h *hostel) spoil(files map[string]string) {
	for name, text := range files {
		h.write(name, text)
	}
}

// TestAFaultyTenantDoesNotAffectOthers checks each kind of fault of a tenant at a start and at a reload, and the tenant's way
// back.
func TestAFaultyTenantDoesNotAffectOthers(t *testing.T) {
	for _, f := range boltFaults {
		t.Run(f.name, func(t *testing.T) {
			h := newHostel(t)
			h.spoil(f.files)
			s := inProcess(t, h.file())
			ask, err := client.New("http://"+s.Admin, adminKey)
			if err != nil {
				t.Fatal(err)
			}
			h.expect(s, ask, refusedTenant, f.want, false)
			line := regexp.MustCompile(`level=ERROR msg="tenant is not configured correctly" tenant=bolt state="its clients are refused" problem=.*` + strings.ReplaceAll(f.want, `"`, `\\"`))
			if n := len(line.FindAllString(s.Log.String(), -1)); n != 1 {
				t.Errorf("%d lines of the log name it:\n%s", n, s.Log.String())
			}

			h.write("tenants/bolt.yaml", goodBolt)
			h.reload(ask, "ok", "")
			h.expect(s, ask, "open", "", false)

			h.spoil(f.files)
			h.reload(ask, "refused", f.want) // nothing else has changed
			h.expect(s, ask, "open", f.want, true)
			h.acme(2)
			h.reload(ask, "partial", f.want)
			h.expect(s, ask, "open", f.want, true)

			h.write("tenants/bolt.yaml", goodBolt)
			h.reload(ask, "unchanged", "") // bolt is again as it stayed
			h.expect(s, ask, "open", "", false)
		})
	}
}

// reload reloads and checks the answer: "ok", "unchanged", "partial" or "refused".
func (h *hostel) reload(ask *client.Client, want, problem string) {
	h.Helper()
	results, err := ask.Reload(h.Context(), false)
	if err != nil {
		h.Fatal(err)
	}
	r := results[0]
	got := map[bool]string{r.OK: "ok", r.Partial: "partial"}[true]
	switch {
	case got == "":
		got = "refused"
	case got == "ok" && r.Revision == r.Before:
		got = "unchanged"
	}
	if got != want || (r.Revision != r.Before) != (want == "ok" || want == "partial") || !regexp.MustCompile(problem).MatchString(strings.Join(r.Problems, "\n")) {
		h.Errorf("the reload: %+v, want %s %s", r, want, problem)
	}
	if want == "partial" {
		checkFaults(h.T, r.Faults, []string{problem}, true)
	}
}

func TestCheckNamesTheFaultsOfAllTenants(t *testing.T) {
	for _, f := range boltFaults {
		h := newHostel(t)
		h.spoil(f.files)
		h.write("tenants/cora.yaml", strings.ReplaceAll(goodBolt, "bolt", "cora")+"    romms: 1\n")
		cfg, err := ReadConfig(t.Context(), Config{File: h.file()})
		if err != nil {
			t.Fatal(err)
		}
		err = CheckConfig(t.Context(), cfg)
		for _, want := range []string{f.want, `cora\.yaml:5: tenants\.cora\.romms`} {
			if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
				t.Errorf("%s: %v, want %s", f.name, err, want)
			}
		}
	}
}

// TestATenantKeepsItsHostsPathsAndNames checks that the tenant which has a host or path or name in use keeps it, and that at a
// start none of two tenants gets it.
func TestATenantKeepsItsHostsPathsAndNames(t *testing.T) {
	thief := map[string]string{
		"path": "tenants:\n  aaa:\n    match: { path: [/acme] }\n",
		"name": "tenants:\n  acme:\n    match: { path: [/other] }\n",
	}
	for name, text := range thief {
		t.Run(name, func(t *testing.T) {
			h := newHostel(t)
			s := inProcess(t, h.file())
			ask, err := client.New("http://"+s.Admin, adminKey)
			if err != nil {
				t.Fatal(err)
			}
			h.write("tenants/aaa.yaml", text)
			if _, err := ask.Reload(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if got := entered(t, s, "acme"); got != "open" {
				t.Errorf("acme's clients: %s", got)
			}
			_, nodes, err := ask.Nodes(t.Context())
			if err != nil || nodes[0].FaultyTenants != 1 || nodes[0].Faults[0].Tenant == "acme" || !strings.Contains(nodes[0].Faults[0].Problems[0], "aaa.yaml:") {
				t.Errorf("%+v, %v", nodes, err)
			}
			fresh := inProcess(t, h.file())
			if got := entered(t, fresh, "acme"); got != refusedTenant {
				t.Errorf("after a start acme's clients: %s", got)
			}
			if got := entered(t, fresh, "bolt"); got != "open" {
				t.Errorf("after a start bolt's clients: %s", got)
			}
		})
	}
}

// TestAMistakeOfTheOperatorRefusesTheReload checks that a mistake of the operator refuses the start and the reload,
// although only tenants have changed otherwise.
func TestAMistakeOfTheOperatorRefusesTheReload(t *testing.T) {
	const shared = "include: ['tenants/*.yaml']\nmodules: { shared: { file: shared.wasm } }\ntenants: { default: {} }\n"
	for name, change := range map[string]func(h *hostel){
		"YAML":          func(h *hostel) { configured(h.T, h.dir, shared+"limits: {\n") },
		"setting":       func(h *hostel) { configured(h.T, h.dir, shared+"limits: { connections: -1 }\n") },
		"shared module": func(h *hostel) { h.write("shared.wasm", "no module") },
		"no tenants":    func(h *hostel) { configured(h.T, h.dir, strings.Replace(shared, "tenants/", "nowhere/", 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostel(t)
			s := inProcess(t, h.file())
			ask, err := client.New("http://"+s.Admin, adminKey)
			if err != nil {
				t.Fatal(err)
			}
			change(h)
			h.acme(2)
			h.reload(ask, "refused", "moot.yaml")
			if got := entered(t, s, "acme"); got != "open" {
				t.Errorf("acme's clients: %s", got)
			}
			if n, err := Start(t.Context(), Config{File: h.file(), Log: io.Discard}); err == nil {
				t.Error("it started", n.Addresses())
			}
		})
	}
}

func TestAStartWithoutAnyUsableTenantIsRefused(t *testing.T) {
	h := newHostel(t)
	h.write("tenants/bolt.yaml", goodBolt+"    romms: 1\n")
	h.write("tenants/acme.yaml", "tenants:\n  acme:\n    - x\n")
	h.write("moot.yaml", "include: ['tenants/*.yaml']\nsocket: { listen: '' }\nmodules: { shared: { file: shared.wasm } }\n")
	_, err := Start(t.Context(), Config{File: h.file(), Log: io.Discard})
	for _, want := range []string{"acme.yaml:3: tenants.acme: must be a mapping", "bolt.yaml:5: tenants.bolt.romms"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
