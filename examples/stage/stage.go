// Package stage runs the servers, the Redis and the clients of the examples, on free ports of
// this machine. All of them end with the example.
package stage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// patience limits the time of an example.
const patience = 3 * time.Minute

// Stage runs an example. It must not be used concurrently.
type Stage struct {
	// Root is the folder of the repository. Dir is a folder that is removed at the end.
	Root, Dir string

	ctx  context.Context
	moot string
	ends []func()
}

// Play runs the example in play, and exits the program: with 1 if the example fails.
func Play(play func(*Stage) error) {
	if err := run(play); err != nil {
		fmt.Fprintln(os.Stderr, "the example failed:", err)
		os.Exit(1)
	}
}

func run(play func(*Stage) error) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, expire := context.WithTimeout(ctx, patience)
	defer expire()
	s := &Stage{ctx: ctx}
	defer s.end()
	if err := s.build(); err != nil {
		return err
	}
	return play(s)
}

func (s *Stage) end() {
	for i := len(s.ends) - 1; i >= 0; i-- {
		s.ends[i]()
	}
}

// build builds the program, and the ready-made modules that are missing.
func (s *Stage) build() error {
	root, err := exec.CommandContext(s.ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mootchat/moot").Output()
	if err != nil {
		return fmt.Errorf("run it in the repository's folder: go list: %w", err)
	}
	s.Root = strings.TrimSpace(string(root))
	if s.Dir, err = os.MkdirTemp("", "moot-example-"); err != nil {
		return err
	}
	s.ends = append(s.ends, func() { os.RemoveAll(s.Dir) })
	s.moot = filepath.Join(s.Dir, "moot")
	return s.command("go", "build", "-o", s.moot, ".")
}

func (s *Stage) command(args ...string) error {
	cmd := exec.CommandContext(s.ctx, args[0], args[1:]...)
	cmd.Dir = s.Root
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return nil
}

// Moot runs a command of moot and returns its output.
func (s *Stage) Moot(args ...string) (string, error) {
	cmd := exec.CommandContext(s.ctx, s.moot, args...)
	cmd.Dir = s.Root
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("moot %s: %w\n%s", args[0], err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// Redis starts a Redis server and returns its address.
func (s *Stage) Redis() (string, error) {
	r, err := redistest.Run(s.Dir)
	if err != nil {
		return "", fmt.Errorf("this example needs redis-server 7.0 or newer (apt-get install redis-server): %w", err)
	}
	s.ends = append(s.ends, r.Kill)
	return r.Address(), nil
}

// Copy copies files of an example, so that they can be changed, and returns their new folder.
// Paths of modules still lead to the guests of Root.
func (s *Stage) Copy(example string, names ...string) (dir string, err error) {
	dir = filepath.Join(s.Dir, example)
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(s.Root, "examples", example, name))
		if err != nil {
			return "", err
		}
		text = bytes.ReplaceAll(text, []byte("../../guests"), []byte(filepath.Join(s.Root, "guests")))
		to := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// Server is a running server.
type Server struct {
	// URL is the address for WebSocket clients, without a path.
	URL string
	// Admin is the address of the server API. A server without MOOT_ADMIN_KEY in its environment has none.
	Admin string

	cmd   *exec.Cmd
	ended chan error
	log   *lastLines
}

var serving, administered = regexp.MustCompile(`msg=serving http=(\S+)`), regexp.MustCompile(`msg=serving admin=(\S+)`)

// Serve starts a server with a configuration file, relative to Root, and waits until it
// serves. env is added to its environment: NAME=value.
func (s *Stage) Serve(file string, env ...string) (*Server, error) {
	admin := ""
	if slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "MOOT_ADMIN_KEY=") }) {
		admin = "127.0.0.1:0"
	}
	cmd := exec.Command(s.moot, "serve", "-c", file, "--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=",
		"--set", "admin.listen="+admin, "--set", "drain=0s")
	cmd.Dir, cmd.Env = s.Root, append(os.Environ(), env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	server := &Server{cmd: cmd, ended: make(chan error, 1), log: new(lastLines)}
	address := make(chan string, 1)
	go server.read(stderr, address)
	s.ends = append(s.ends, server.Kill)
	select {
	case a := <-address:
		server.URL = "ws://" + a
		return server, nil
	case err := <-server.ended:
		server.ended <- err
		return nil, fmt.Errorf("the server ended: %w\n%s", err, server.log)
	case <-s.ctx.Done():
		return nil, fmt.Errorf("the server does not serve: %w\n%s", s.ctx.Err(), server.log)
	}
}

func (server *Server) read(stderr io.Reader, address chan<- string) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		server.log.add(lines.Text())
		if m := administered.FindStringSubmatch(lines.Text()); m != nil {
			server.Admin = "http://" + m[1] // it is logged before the address of clients
		}
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			select {
			case address <- m[1]:
			default:
			}
		}
	}
	server.ended <- server.cmd.Wait()
}

// Reload makes the server load its configuration again, and waits until it has.
func (s *Stage) Reload(server *Server) error {
	return s.Logs(server, "msg=reload ", func() error { return server.cmd.Process.Signal(syscall.SIGHUP) })
}

// Logs calls do, and waits until the server has logged a line with these words.
func (s *Stage) Logs(server *Server, words string, do func() error) error {
	logged := server.log.next(words)
	if err := do(); err != nil {
		return err
	}
	select {
	case <-logged:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("the server does not log %q: %w\n%s", words, s.ctx.Err(), server.log)
	}
}

// Kill ends the server with SIGKILL, if it runs.
func (server *Server) Kill() {
	_ = server.cmd.Process.Kill()
	server.ended <- <-server.ended
}
