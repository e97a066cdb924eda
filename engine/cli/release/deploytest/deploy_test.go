package deploytest

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	root   = "../../../../"
	deploy = root + "examples/deploy/"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAlertsAreRulesThatPrometheusLoads(t *testing.T) {
	groups, errs := rulefmt.Parse(read(t, deploy+"alerts.yaml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatal("there are no rules")
	}
	guide := string(read(t, deploy+"README.md"))
	for _, rule := range groups.Groups[0].Rules {
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", rule.Alert)
		}
		if !strings.Contains(guide, "`"+rule.Alert+"`") {
			t.Errorf("README.md does not say what to do about %s", rule.Alert)
		}
	}
	if n := len(groups.Groups[0].Rules); n < 15 {
		t.Errorf("only %d rules", n)
	}
}

// TestExpressionsOfTheDashboardAreSound checks that Prometheus parses the expressions of the dashboard. It first replaces the
// variables, like Grafana.
func TestExpressionsOfTheDashboardAreSound(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, deploy+"grafana.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$tenant", ".*")
	n := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(fill.Replace(target.Expr)); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, target.Expr, err)
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d expressions", n)
	}
}

func TestTheContainerIsBuiltFromTheSourcesAlone(t *testing.T) {
	file, err := os.Open(root + ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	ignored := func(path string) bool {
		t.Helper()
		is, err := matcher.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	for _, path := range []string{".git/HEAD", "moot", "build/release/SHA256SUMS", "sdk/client/node_modules/x/y.js", "guests/gate/gate.wasm",
		"guests/redact/target/x", "engine/cli/cli.test", "cpu.prof"} {
		if !ignored(path) {
			t.Errorf("%s is sent to the builder", path)
		}
	}
	list := exec.Command("git", "ls-files")
	list.Dir = root
	files, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(files)) {
		if ignored(path) {
			t.Errorf("%s is a source, and is not sent to the builder", path)
		}
	}
}
