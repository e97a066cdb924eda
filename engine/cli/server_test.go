package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline is how long anything that a test waits for may take.
const deadline = 2 * time.Minute

// server is a moot that a test started.
type server struct {
	http, socket, admin string // addresses
	cmd                 *exec.Cmd
	log                 journal
	ended               chan error
}

// journal is the log of a server, as far as it has come.
type journal struct {
	mu      sync.Mutex
	text    strings.Builder
	told    int           // up to here it was waited for
	changed chan struct{} // closed at the next line, if somebody waits
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.WriteString(line + "\n")
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// await waits for a line that fits, after those that were waited for before.
func (j *journal) await(fits *regexp.Regexp) error {
	patience := time.After(deadline)
	for {
		j.mu.Lock()
		if at := fits.FindStringIndex(j.text.String()[j.told:]); at != nil {
			j.told += at[1]
			j.mu.Unlock()
			return nil
		}
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-patience:
			return fmt.Errorf("nothing like %s was logged:\n%s", fits, j)
		}
	}
}

// start starts a command that comes to serve, and waits until it does.
func start(cmd *exec.Cmd) (*server, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make's own child goes with it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, ended: make(chan error, 2)}
	addresses := make(chan [2]string, 3)
	go s.read(stderr, addresses)
	for s.http == "" || s.socket == "" {
		select {
		case a := <-addresses:
			*map[string]*string{"http": &s.http, "socket": &s.socket, "admin": &s.admin}[a[0]] = a[1]
		case err := <-s.ended:
			return nil, fmt.Errorf("the server ended: %v\n%s", err, s.log.String())
		case <-time.After(deadline):
			s.kill()
			return nil, fmt.Errorf("the server does not serve:\n%s", s.log.String())
		}
	}
	return s, nil
}

var serving = regexp.MustCompile(`msg"?[=:]"?serving"?[ ,]"?(http|socket|admin)"?[=:]"?([^",\s]+)`)

func (s *server) read(stderr io.Reader, addresses chan<- [2]string) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		s.log.add(lines.Text())
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			addresses <- [2]string{m[1], m[2]}
		}
	}
	s.ended <- s.cmd.Wait()
}

// terminate sends SIGTERM, waits, and returns the log. Under make the signal goes to make alone,
// which passes it on: a second one would end the server at once.
func (s *server) terminate() (string, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return "", err
	}
	select {
	case err := <-s.ended:
		s.ended <- err                                        // for kill
		if !strings.Contains(s.log.String(), "msg=stopped") { // make's own status says nothing
			return s.log.String(), fmt.Errorf("the server ended: %w\n%s", err, s.log.String())
		}
		return s.log.String(), nil
	case <-time.After(deadline):
		return "", fmt.Errorf("the server does not end after SIGTERM")
	}
}

// kill makes sure that nothing is left.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-s.ended
}

func startServer(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	s, err := start(cmd)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if _, err := s.terminate(); err != nil {
		t.Error(err)
	}
}
