package cli

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowedImports holds the packages of this repository that each package may import. A package
// that is not in the table may import none.
var allowedImports = map[string][]string{
	"":                           {"engine/cli"},
	"engine":                     {"engine/cluster", "engine/events", "engine/fanout", "engine/histogram", "engine/hook", "engine/moderation", "engine/review", "engine/wire"},
	"engine/fanout":              {"engine/wire"},
	"engine/fanout/fanouttest":   {"engine/wire"},
	"engine/hook":                {"engine/moderation", "engine/wire"},
	"engine/cluster":             {"engine/wire"},
	"engine/auth":                {"engine", "engine/dial", "engine/files", "engine/hook"},
	"engine/fetch":               {"engine/dial"},
	"engine/listen":              {"engine/files"},
	"engine/telemetry":           {"engine", "engine/ask", "engine/cluster", "engine/dial", "engine/histogram", "engine/hook", "engine/wire"},
	"engine/ws":                  {"engine", "engine/listen", "engine/stream", "engine/wire"},
	"engine/tcp":                 {"engine", "engine/listen", "engine/stream", "engine/wire"},
	"sdk/go/moottest":            {"sdk/go"},
	"examples/stage":             {"engine/cluster/redis/redistest", "sdk/go/client"},
	"engine/api":                 {"engine", "engine/ask", "engine/cluster", "engine/events", "engine/histogram", "engine/millis", "engine/moderation", "engine/review", "engine/wire", "host/report"},
	"engine/api/client":          {"engine/api", "engine/millis", "engine/review", "host/report"},
	"engine/api/console":         {"engine/page"},
	"engine/demo":                {"engine/page"},
	"engine/cluster/memory":      {"engine/cluster", "engine/wire"},
	"engine/cluster/redis":       {"engine/cluster", "engine/wire"},
	"engine/cluster/clustertest": {"engine/cluster", "engine/wire"},
	"engine/diskcache":           {"engine/files"},
	"engine/enginetest":          {"engine", "engine/cluster/memory", "engine/fanout", "engine/fanout/fanouttest", "engine/hook", "engine/stream", "engine/wire"},
	"engine/ask/web":             {"engine/ask", "engine/dial", "engine/histogram"},
	"engine/config":              {"engine/ask", "engine/events", "engine/files", "engine/glob", "engine/nearest", "guests/builtin"},
	"engine/cli":                 {"engine/api", "engine/api/client", "engine/auth", "engine/cli/bench", "engine/cli/chat", "engine/cli/module", "engine/config", "engine/diskcache", "engine/millis", "engine/moderation", "engine/node", "engine/review", "host/report", "host/script", "host/trial"},
	"engine/node":                {"engine", "engine/api", "engine/api/console", "engine/ask", "engine/ask/web", "engine/auth", "engine/cluster", "engine/cluster/memory", "engine/cluster/redis", "engine/cluster/redis/durable", "engine/config", "engine/datafile", "engine/demo", "engine/diskcache", "engine/events", "engine/events/memory", "engine/events/redis", "engine/events/sqlite", "engine/events/webhook", "engine/fanout", "engine/fetch", "engine/files", "engine/glob", "engine/hook", "engine/listen", "engine/millis", "engine/moderation", "engine/moderation/memory", "engine/moderation/redis", "engine/moderation/sqlite", "engine/review", "engine/review/memory", "engine/review/redis", "engine/review/sqlite", "engine/stream", "engine/tcp", "engine/telemetry", "engine/ws", "guests/builtin", "host", "host/report", "host/script", "host/store", "host/store/redis", "host/trial"},
	"engine/cli/chat":            {"sdk/go/client"},
	"engine/cli/bench/compare":   {"engine/cli/bench"},
	"engine/cli/module":          {"engine/nearest", "guests/builtin", "host", "host/abi", "host/hosttest", "host/script", "host/trial", "sdk", "sdk/go"},
	"host/trial":                 {"engine/ask", "engine/cluster", "engine/hook", "engine/wire", "host", "host/abi", "host/script", "host/store", "host/store/memory"},
	"host/hosttest":              {"host", "host/abi", "host/trial", "sdk/vectors"},
	"sdk/go/conformance":         {"sdk/go"},
	"sdk/go/examples/blocklist":  {"sdk/go"},
	"host":                       {"engine/ask", "engine/cluster", "engine/glob", "engine/histogram", "engine/hook", "engine/millis", "engine/moderation", "engine/wire", "host/abi", "host/meter", "host/report", "host/schema", "host/script", "host/store", "host/store/memory", "host/wasi"},
	"host/schema":                {"engine/nearest"},
	"host/report":                {"engine/histogram", "engine/millis"},
	"host/store/memory":          {"host/store"},
	"host/store/redis":           {"engine/cluster/redis/durable", "host/store"},
	"host/store/storetest":       {"host/store"},
	"host/hosttest/bench":        {"engine/hook", "engine/wire", "host", "host/abi", "host/hosttest/asm"},

	"engine/moderation":                {},
	"engine/moderation/memory":         {"engine/moderation"},
	"engine/moderation/redis":          {"engine/cluster/redis/durable", "engine/moderation"},
	"engine/moderation/sqlite":         {"engine/datafile", "engine/moderation"},
	"engine/moderation/moderationtest": {"engine/moderation"},

	"engine/ask":               {},
	"engine/events":            {},
	"engine/events/memory":     {"engine/events"},
	"engine/events/redis":      {"engine/cluster/redis/durable", "engine/events"},
	"engine/events/sqlite":     {"engine/datafile", "engine/events"},
	"engine/events/webhook":    {"engine/dial", "engine/events"},
	"engine/events/eventstest": {"engine/events"},
	"engine/review":            {"engine/histogram", "engine/wire"},
	"engine/review/memory":     {"engine/review"},
	"engine/review/redis":      {"engine/cluster/redis/durable", "engine/review"},
	"engine/review/sqlite":     {"engine/datafile", "engine/review"},
	"engine/review/reviewtest": {"engine/review", "engine/wire"},
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", modulePath+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.Trim(strings.TrimPrefix(p.ImportPath, modulePath), "/")
		allowed := allowedImports[name]
		if strings.HasPrefix(name, "guests/") {
			allowed = []string{"engine/glob", "sdk/go", "sdk/go/moottest"}
		}
		if strings.HasPrefix(name, "examples/") && allowed == nil {
			allowed = []string{"examples/stage"}
		}
		seen++
		for _, i := range p.Imports {
			if rest, ours := strings.CutPrefix(i, modulePath); ours {
				if dep := strings.Trim(rest, "/"); !slices.Contains(allowed, dep) {
					t.Errorf("%s imports %s; it may import %v", cmpName(name), dep, allowed)
				}
			}
		}
	}
	if seen < len(allowedImports) {
		t.Errorf("go list named %d packages, the table %d", seen, len(allowedImports))
	}
}

func cmpName(name string) string {
	if name == "" {
		return "main"
	}
	return name
}
