package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// server is a server that is measured.
type server struct {
	name  string
	bin   string // in the folder of the built files; "": this program runs the floor
	flags []string
}

const floorCommand = "floor"

var (
	floor    = server{name: "floor"}
	moot     = server{name: "Moot", bin: "moot"}
	filtered = server{name: "Moot with blocklist", bin: "moot", flags: []string{"-c", "filtered.yaml"}}
	ruled    = server{name: "Moot with rules", bin: "moot", flags: []string{"-c", "ruled.yaml"}}
	written  = server{name: "Moot with writing: write", bin: "moot", flags: []string{"-c", "written.yaml"}}
	waiting  = server{name: "Moot with a goroutine for each", bin: "moot", flags: []string{"-c", "waiting.yaml"}}
)

// config is the configuration of all Moot servers. blocklist and rules are the additional parts of filtered and ruled.
const (
	config = `
http: { listen: "127.0.0.1:0"%s }
socket: { listen: "" }
admin: { listen: "" }
drain: 0s
limits: { verbsPerSecond: 1000000 }
tenants:
  default:
    rooms: { starting: [%s] }
`
	blocklist = `
    chain:
      - { module: blocklist, config: { words: [darn, heck] } }
modules:
  blocklist: { builtin: blocklist }
`
	rules = `
    chain:
      - { module: blocklist, config: { words: [darn, heck] } }
      - { module: quiet, hooks: [say] }
modules:
  blocklist: { builtin: blocklist }
  quiet: { file: quiet.wasm }
`
)

// build builds Moot and the modules of ruled, and writes the configurations.
func (c *comparison) build(ctx context.Context) error {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	for bin, source := range map[string]string{"moot": ".", "quiet.wasm": "./host/hosttest/bench/testdata/quiet"} {
		args := []string{"build", "-o", filepath.Join(c.dir, bin)}
		if strings.HasSuffix(bin, ".wasm") {
			args = append(args, "-buildmode=c-shared", "-ldflags=-s -w")
		}
		cmd := exec.CommandContext(ctx, "go", append(args, source)...)
		cmd.Dir = root
		if strings.HasSuffix(bin, ".wasm") {
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
	}
	return c.configure()
}

func (c *comparison) configure() error {
	var rooms []string
	for i := range 100 {
		rooms = append(rooms, fmt.Sprint("r", i))
	}
	plain := fmt.Sprintf(config, "", strings.Join(rooms, ", "))
	for name, text := range map[string]string{
		"config.yaml": plain, "filtered.yaml": plain + blocklist, "ruled.yaml": plain + rules, "written.yaml": fmt.Sprintf(config, ", writing: write", strings.Join(rooms, ", ")),
		"waiting.yaml": fmt.Sprintf(config, ", reading: goroutines", strings.Join(rooms, ", ")),
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// process is a running server.
type process struct {
	cmd     *exec.Cmd
	address string
}

// serving matches the log line of a server that is ready.
var serving = regexp.MustCompile(`serving http=(\S+)`)

func (c *comparison) start(ctx context.Context, s server) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, floorCommand)
	if s.bin != "" {
		cmd = exec.CommandContext(ctx, filepath.Join(c.dir, s.bin), append([]string{"serve"}, s.flags...)...)
	}
	cmd.Dir = c.dir
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			go forget(lines)
			return &process{cmd, m[1]}, nil
		}
		fmt.Fprintln(&said, lines.Text())
	}
	return nil, fmt.Errorf("it does not serve: %w\n%s", cmd.Wait(), said.String())
}

// forget reads and discards the rest of the log, so that the server does not block on it.
func forget(lines *bufio.Scanner) {
	for lines.Scan() {
	}
}

// stop ends the server with an interrupt, and kills it after 10 s.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // the process may have ended
	end := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer end.Stop()
	_ = p.cmd.Wait() // the error is the signal
}
