package node

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/script"
)

// TestMain also runs the processes that tests start: a node, and the translator of scripts.
func TestMain(m *testing.M) {
	switch {
	case script.IsTranslator(os.Args[1:]):
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	case os.Args[0] == processName:
		os.Exit(runProcess(os.Args[1:]))
	}
	os.Exit(m.Run())
}

const processName = "node"

// runProcess runs a node until SIGTERM. args are the configuration file and settings.
func runProcess(args []string) int {
	flags := flag.NewFlagSet(processName, flag.ExitOnError)
	flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	n, err := Start(ctx, Config{File: flags.Arg(0), Set: flags.Args()[1:], Reload: hup})
	if err == nil {
		err = n.Wait()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process returns the command that runs a node in its own process.
func process(t testing.TB, file string, settings ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{file}, settings...)...)
	cmd.Args[0], cmd.Dir = processName, filepath.Dir(file)
	return cmd
}

// started starts the command of a node. The node ends with the test.
func started(t testing.TB, cmd *exec.Cmd) *nodetest.Server {
	t.Helper()
	s, err := nodetest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

const adminKey = "the-admin-key-of-all-tests"

// configured writes moot.yaml with free ports, adminKey and more into a folder.
func configured(t testing.TB, dir, more string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "moot.yaml")
	nodetest.Write(t, file, "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0', key: "+adminKey+" }\ndrain: 0s\n"+more)
	return file
}

// inProcess runs a node in the process of the test, until the test ends, so that the race detector covers
// it.
func inProcess(t *testing.T, file string) *nodetest.Server {
	t.Helper()
	return startNode(t, Config{File: file})
}

func startNode(t *testing.T, c Config) *nodetest.Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s := new(nodetest.Server)
	c.Log = &s.Log
	n, err := Start(ctx, c)
	if err != nil {
		cancel()
		t.Fatalf("%v\n%s", err, &s.Log)
	}
	t.Cleanup(func() {
		cancel()
		if err := n.Wait(); err != nil {
			t.Error(err)
		}
	})
	a := n.Addresses()
	s.HTTP, s.Socket, s.Admin = a.HTTP, a.Sockets[0], a.Admin
	return s
}

// ask requests a path of a node's server API with adminKey.
func ask(t *testing.T, s *nodetest.Server, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// health returns the readiness of the node as shown to operators, with the quotes of JSON undone.
func health(t *testing.T, s *nodetest.Server) (status int, text string) {
	t.Helper()
	status, text = ask(t, s, "/health/ready")
	return status, strings.NewReplacer(`\"`, `"`, `\n`, "\n").Replace(text)
}
