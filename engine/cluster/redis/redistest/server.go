// Package redistest runs Redis servers for tests: standalone, with sentinels, or as
// a Redis Cluster. It also has a proxy that disturbs connections to them. The servers listen on
// the loopback interface, store no data on disk by default, and end with the test.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience bounds the wait of Await.
const patience = 30 * time.Second

// Server is a redis-server on a free port. Only one goroutine at a time may use it.
type Server struct {
	Port     int
	Password string // password that Do and Info send; "": none

	tlsPort int
	args    []string
	cmd     *exec.Cmd
}

// Start runs redis-server with args until the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := Run(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Run runs redis-server with args; dir is its folder. Kill ends it.
func Run(dir string, args ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, args: append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", dir}, args...)}
	return s, s.Restart()
}

// freePort returns a port that was free at the time of the call.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Address returns the address on which the server listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Restart runs the server again after Kill, and returns when it answers.
func (s *Server) Restart() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("these tests need redis-server 7.0 or newer on the PATH: `make tools` installs it")
	}
	s.cmd = exec.Command(path, s.args...)
	s.cmd.SysProcAttr = attributes()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return Await("redis-server answers", func() bool {
		err := s.Do("PING")
		return err == nil || strings.HasPrefix(err.Error(), "NOAUTH")
	})
}

// Kill ends the server as a power cut would.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Signal sends a signal to the server: SIGSTOP freezes the server, SIGCONT thaws it.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Client returns a new client, which the caller closes.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Address(), Password: s.Password, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1})
}

// Do sends a command.
func (s *Server) Do(args ...any) error {
	_, err := s.Ask(args...)
	return err
}

// AddUser adds a user with a password and rules, in the form of the arguments of ACL SETUSER.
func (s *Server) AddUser(t testing.TB, name, password string, rules []string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", name, "on", ">" + password}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := s.Do(args...); err != nil {
		t.Fatal(err)
	}
}

// Ask sends a command and returns the answer.
func (s *Server) Ask(args ...any) (any, error) {
	c := s.Client()
	defer c.Close()
	return c.Do(context.Background(), args...).Result()
}

// Info returns one value of the server's INFO, or of another command with an answer of the same
// form; "" if the server does not answer.
func (s *Server) Info(key string, command ...any) string {
	if len(command) == 0 {
		command = []any{"INFO", "everything"}
	}
	answer, _ := s.Ask(command...)
	text, _ := answer.(string)
	for line := range strings.Lines(text) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), ":"); k == key {
			return v
		}
	}
	return ""
}

// Await waits until cond is true. It returns an error after 30 s.
func Await(what string, cond func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-late.C:
			return fmt.Errorf("%s: not within %v", what, patience)
		}
	}
	return nil
}

func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if err := Await(what, cond); err != nil {
		t.Fatal(err)
	}
}
