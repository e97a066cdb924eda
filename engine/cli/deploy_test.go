package cli

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestAReleaseServes runs the steps of the Containerfile in a copy of the tree, for the platform of the test. It checks that
// the program serves, that its installation works, and that a second build gives the same bytes.
func TestAReleaseServes(t *testing.T) {
	root, out := treeCopy(t), t.TempDir()
	for _, step := range containerSteps(t) {
		if strings.HasPrefix(step, "go mod download") {
			continue // the machine of the test already has them
		}
		cmd := exec.Command("sh", "-euc", strings.ReplaceAll(step, "/out", out))
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "VERSION=v9.8.7-test", "SOURCE_DATE_EPOCH=1000000000", "MAKEFLAGS=", "GOOS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, text)
		}
	}
	archive := "moot-v9.8.7-test-" + runtime.GOOS + "-" + runtime.GOARCH + ".tar.gz"
	first := checkSums(t, filepath.Join(root, "build/release"), archive)
	if text := command(t, out, "./moot", "version"); !strings.HasPrefix(text, "moot v9.8.7-test go") {
		t.Errorf("the version is %s", text)
	}
	if program, err := os.ReadFile(filepath.Join(out, "moot")); err != nil || bytes.Contains(program, []byte(root)) {
		t.Errorf("the program says where it was built: %v", err)
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "examples/deploy/moot.service"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	s := startServer(t, out, "./moot", "serve", "--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0")
	said := exec.Command("./moot", "chat", "ws://"+s.HTTP, "--room", "defaultRoom")
	said.Dir, said.Stdin = out, strings.NewReader("/room defaultRoom\nhello from a release\n")
	if text, err := said.CombinedOutput(); err != nil || !strings.Contains(string(text), "hello from a release") {
		t.Errorf("moot chat: %v\n%s", err, text)
	}
	s.Stop(t)
	installs(t, out)

	again := exec.Command("go", "run", "./engine/cli/release", "-version", "v9.8.7-test", "-platforms", runtime.GOOS+"/"+runtime.GOARCH)
	again.Dir, again.Env = root, append(os.Environ(), "SOURCE_DATE_EPOCH=1000000000")
	if text, err := again.CombinedOutput(); err != nil || string(text) != first {
		t.Errorf("the same tree gives other bytes: %v\n%s, before\n%s", err, text, first)
	}
}

// installs runs the commands of README.md that install an unpacked release, with another root folder, and checks the
// installed configuration with the secrets of the unit.
func installs(t *testing.T, release string) {
	t.Helper()
	readme, err := os.ReadFile("../../examples/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^## systemd$.*?^```console\n(.*?)^systemctl [^\n]*\n```$").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md has no commands that install a release, with systemctl as the last")
	}
	root := t.TempDir()
	for _, dir := range []string{"usr/local/bin", "etc/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	below := regexp.MustCompile(`(^|\s)/(usr|etc)/`).ReplaceAllString(string(block[1]), "${1}"+root+"/$2/")
	command(t, release, "sh", "-euc", below)
	secrets, err := os.ReadFile(filepath.Join(root, "etc/moot/environment"))
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(filepath.Join(root, "usr/local/bin/moot"), "check", "--config", filepath.Join(root, "etc/moot/config.yaml"))
	check.Env = append(os.Environ(), strings.Fields(string(secrets))...)
	if text, err := check.CombinedOutput(); err != nil || !strings.Contains(string(text), "config.yaml is valid: ") || strings.Contains(string(text), "warning") {
		t.Errorf("moot check: %v\n%s", err, text)
	}
	if info, err := os.Stat(filepath.Join(root, "etc/moot/environment")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secrets are readable: %v %v", info.Mode(), err)
	}
}

// checkSums checks that SHA256SUMS has the sum of the archive and nothing else, and returns its text.
func checkSums(t *testing.T, dir, archive string) string {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, archive))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(data), archive); string(sums) != want {
		t.Errorf("SHA256SUMS is %q, want %q", sums, want)
	}
	return string(sums)
}

// containerSteps returns the commands of the Containerfile.
func containerSteps(t *testing.T) (steps []string) {
	t.Helper()
	file, err := os.ReadFile("../../examples/deploy/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(string(file), "\\\n", " ")) {
		if step, ok := strings.CutPrefix(strings.TrimSpace(line), "RUN "); ok {
			steps = append(steps, step)
		}
	}
	return steps
}

// TestTheUnitFitsTheProgram checks that the systemd unit matches the command line and the defaults of the program.
func TestTheUnitFitsTheProgram(t *testing.T) {
	file, err := os.ReadFile("../../examples/deploy/moot.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]string{}
	section := ""
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if m := regexp.MustCompile(`^\[(Unit|Service|Install)\]$`).FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" || strings.ContainsAny(key, " \t") {
			t.Errorf("%q is not a setting of a unit", line)
		}
		unit[section+"."+key] = value
	}
	for key, name := range map[string]string{"Service.ExecStart": "serve", "Service.ExecStartPre": "check"} {
		args := strings.Fields(unit[key])
		if len(args) < 2 || args[0] != "/usr/local/bin/moot" || args[1] != name {
			t.Fatalf("%s is %s", key, unit[key])
		}
		if code := Run(nil, append(args[1:], "--help"), nil, os.Stderr, os.Stderr); code != exitOK {
			t.Errorf("%s: moot ends with %d", key, code)
		}
	}
	stop, err := time.ParseDuration(unit["Service.TimeoutStopSec"] + "s")
	if drain := config.Default().DrainDelay + config.Default().Drain; err != nil || stop < drain+node.EndTime {
		t.Errorf("TimeoutStopSec is %v, and the server may take %v", stop, drain+node.EndTime)
	}
	if unit["Service.MemoryDenyWriteExecute"] != "" {
		t.Error("modules could not be compiled")
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		verifyUnit(t, path, string(file))
	}
}

// verifyUnit verifies the unit with systemd-analyze after it has replaced the path of moot by the test program's.
func verifyUnit(t *testing.T, analyze, unit string) {
	moot, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "moot.service")
	nodetest.Write(t, path, strings.ReplaceAll(unit, "/usr/local/bin/moot", moot))
	if text, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, text)
	}
}

// TestTheContainerfileNamesFilesThatExist checks the files, stages and ports of the Containerfile. TestAReleaseServes runs
// its steps.
func TestTheContainerfileNamesFilesThatExist(t *testing.T) {
	file, err := os.ReadFile("../../examples/deploy/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(file), "\\\n", " ")
	stages := map[string]bool{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch words[0] {
		case "FROM":
			if len(words) == 4 {
				stages[words[3]] = true
			}
		case "COPY":
			if from, ok := strings.CutPrefix(words[1], "--from="); ok {
				if !stages[from] {
					t.Errorf("there is no stage %s", from)
				}
				continue
			}
			for _, name := range words[1 : len(words)-1] {
				if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
					t.Error(err)
				}
			}
		case "WORKDIR", "RUN", "ARG", "ENV", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD":
		default:
			t.Errorf("unknown instruction: %s", line)
		}
	}
	production := production(t)
	for _, address := range []string{production.HTTP.Listen, production.Admin.Listen} {
		if port := address[strings.LastIndex(address, ":")+1:]; !regexp.MustCompile(`(?m)^EXPOSE .*\b` + port + `\b`).MatchString(text) {
			t.Errorf("port %s is not exposed", port)
		}
	}
}

// installed makes a folder with a copy of examples/deploy/moot.yaml and the guests, like an installation by README.md. It
// sets the secrets in the environment and returns the path of the copy.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../examples/deploy/moot.yaml")
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Write(t, filepath.Join(dir, "config.yaml"), string(text))
	guests, err := filepath.Abs("../../guests")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(guests, filepath.Join(dir, "guests")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MOOT_ADMIN_KEY", "0123456789abcdef")
	t.Setenv("MOOT_JWT_SECRET", "0123456789abcdef0123456789abcdef")
	return filepath.Join(dir, "config.yaml")
}

func production(t *testing.T) *config.Config {
	t.Helper()
	c, err := config.Load(installed(t), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheProductionConfigurationLoads(t *testing.T) {
	file := installed(t)
	var out, problems bytes.Buffer
	if code := Run(nil, []string{"check", "-c", file}, nil, &out, &problems); code != exitOK || problems.Len() > 0 {
		t.Errorf("moot check ends with %d: %s%s", code, &out, &problems)
	}
	os.Unsetenv("MOOT_ADMIN_KEY")
	os.Unsetenv("MOOT_JWT_SECRET")
	problems.Reset()
	if code := Run(nil, []string{"check", "-c", file}, nil, &out, &problems); code != exitMisused {
		t.Errorf("without secrets moot check ends with %d", code)
	}
	for _, path := range []string{"admin.key: ", "tenants.default.auth.jwt.secret: "} {
		if !strings.Contains(problems.String(), path) {
			t.Errorf("without secrets moot check does not name %s\n%s", path, &problems)
		}
	}
}

func TestTheProductionConfigurationIsClosed(t *testing.T) {
	c := production(t)
	if len(c.Sockets()) > 0 || c.HTTP.Demo || !strings.HasPrefix(c.Admin.Listen, "127.0.0.1:") || len(c.Warnings) > 0 || c.Log.Format != "json" {
		t.Errorf("TCP %v, demo %v, admin %s, warnings %v, log %s", c.Sockets(), c.HTTP.Demo, c.Admin.Listen, c.Warnings, c.Log.Format)
	}
	for name, tenant := range c.Tenants {
		if !tenant.Auth.JWT.Required || tenant.Rooms.ClientsMayCreate {
			t.Errorf("tenant %s lets in clients without a token, or lets them make rooms", name)
		}
		for _, entry := range tenant.Chain {
			if strings.Contains(string(entry.Config), "token") {
				t.Errorf("tenant %s has tokens in its configuration: %s", name, entry.Config)
			}
		}
	}
	text, err := os.ReadFile(string(c.File.Absolute))
	if err != nil || strings.Contains(string(text), "letmein") {
		t.Errorf("it has the token of the demo (%v)", err)
	}
}

func TestPrometheusIsToldTheAdminPort(t *testing.T) {
	file, err := os.ReadFile("../../examples/deploy/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Scrapes []struct {
			Job    string `yaml:"job_name"`
			Static []struct{ Targets []string }
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(file, &c); err != nil || len(c.Scrapes) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if !strings.Contains(string(file), config.Default().Admin.Listen) {
		t.Errorf("it does not scrape %s", config.Default().Admin.Listen)
	}
}

// TestAPodServesWithItsArguments checks that the arguments of the container in kubernetes.yaml are valid, and that the only
// warning is about the open admin port.
func TestAPodServesWithItsArguments(t *testing.T) {
	text, err := os.ReadFile("../../examples/deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ +args: \[(serve, --config, [^,]+, (.*))\]$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the container has no arguments")
	}
	args := append([]string{"check", "-c", installed(t)}, strings.Split(string(found[2]), ", ")...)
	t.Setenv("MOOT_ADMIN_LISTEN", ":9090")
	t.Setenv("MOOT_CLUSTER", "redis")
	t.Setenv("MOOT_REDIS", "redis:6379")
	var out, warnings bytes.Buffer
	if code := Run(nil, args, nil, &out, &warnings); code != exitOK || strings.Count(warnings.String(), "\n") != 1 || !strings.Contains(warnings.String(), "admin.listen: ") {
		t.Errorf("moot %s ends with %d: %s%s", strings.Join(args, " "), code, &out, &warnings)
	}
}
