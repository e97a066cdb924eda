// Package nodetest starts servers as processes and connects clients to them over TCP, for tests.
package nodetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Deadline bounds each wait of a test.
const Deadline = 2 * time.Minute

// Server is a server under test.
type Server struct {
	HTTP, Socket, Admin string // addresses; Admin is "" without an admin listener
	Log                 Log

	cmd  *exec.Cmd // nil: the server runs in the test's process
	done chan struct{}
	err  error // set before done is closed
}

// Start starts a command that runs a server, in a new process group, and waits until it serves. After
// an error no process is left.
func Start(cmd *exec.Cmd) (*Server, error) {
	s := &Server{cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &s.Log
	ownGroup(cmd) // a signal to the group also reaches the child of make
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.done)
		s.err = cmd.Wait()
	}()
	serving := func(what string) *regexp.Regexp {
		return regexp.MustCompile(`msg"?[=:]"?serving"?[ ,]"?` + what + `"?[=:]"?([^",\s]+)`)
	}
	for what, address := range map[string]*string{"http": &s.HTTP, "socket": &s.Socket} {
		found, err := s.Log.find(serving(what), s.done)
		if err != nil {
			s.Kill()
			return nil, errors.Join(err, s.err)
		}
		*address = found[1]
	}
	if admin := serving("admin").FindStringSubmatch(s.Log.String()); admin != nil { // the first admin address in the log
		s.Admin = admin[1]
	}
	return s, nil
}

// Signal sends a signal to the process alone. If the process is make, it passes SIGTERM on to the
// server.
func (s *Server) Signal(signal syscall.Signal) error { return s.cmd.Process.Signal(signal) }

// SignalGroup sends a signal to the process and its children.
func (s *Server) SignalGroup(signal syscall.Signal) error { return signalGroup(s.cmd.Process, signal) }

// Wait waits until the process has ended and returns its error.
func (s *Server) Wait() error {
	select {
	case <-s.done:
		return s.err
	case <-time.After(Deadline):
		return fmt.Errorf("the server does not end:\n%s", &s.Log)
	}
}

// Terminate sends SIGTERM, waits, and returns the log. A second signal would end the server at once.
func (s *Server) Terminate() (log string, err error) {
	if err := s.Signal(syscall.SIGTERM); err != nil {
		return "", err
	}
	err = s.Wait()
	if log = s.Log.String(); !strings.Contains(log, "msg=stopped") { // the exit status of make is not enough
		return log, fmt.Errorf("the server did not stop as it should: %w\n%s", err, log)
	}
	return log, nil
}

// Kill kills the process group. It does nothing if the group has ended.
func (s *Server) Kill() {
	_ = s.SignalGroup(syscall.SIGKILL) // the group may have ended
	<-s.done
}

// Stop terminates the server, and fails the test if the server does not stop correctly.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if _, err := s.Terminate(); err != nil {
		t.Error(err)
	}
}

// PID returns the id of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Dir returns the working directory of the process.
func (s *Server) Dir() string { return s.cmd.Dir }

// Write writes a file and creates its folder.
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
