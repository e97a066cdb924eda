// Package nodetest starts servers as processes of their own, and talks to them over TCP, for tests.
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

// Server is a server that a test talks to.
type Server struct {
	HTTP, Socket, Admin string // addresses; Admin is "" where there is none
	Log                 Log

	cmd  *exec.Cmd // nil: it runs in the test's process
	done chan struct{}
	err  error // set before done is closed
}

// Start starts a command that runs a server, in a process group of its own, and waits until it serves.
// Where it does not, nothing is left of it.
func Start(cmd *exec.Cmd) (*Server, error) {
	s := &Server{cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &s.Log
	ownGroup(cmd) // a signal to the group reaches the child of make too
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
	if admin := serving("admin").FindStringSubmatch(s.Log.String()); admin != nil { // the first that is served
		s.Admin = admin[1]
	}
	return s, nil
}

// Signal sends a signal to the process alone. Under make it is make, which passes SIGTERM on.
func (s *Server) Signal(signal syscall.Signal) error { return s.cmd.Process.Signal(signal) }

// SignalGroup sends a signal to the process and its children.
func (s *Server) SignalGroup(signal syscall.Signal) error { return signalGroup(s.cmd.Process, signal) }

// Wait waits until the process has ended and returns how.
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
	if log = s.Log.String(); !strings.Contains(log, "msg=stopped") { // the status of make says nothing
		return log, fmt.Errorf("the server did not stop as it should: %w\n%s", err, log)
	}
	return log, nil
}

// Kill ends the process group, and does nothing after its end.
func (s *Server) Kill() {
	_ = s.SignalGroup(syscall.SIGKILL) // it may have ended
	<-s.done
}

// Stop terminates the server, and fails the test where it does not stop as it should.
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

// Write writes a file and makes its folder.
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
