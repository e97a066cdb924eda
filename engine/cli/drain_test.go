package cli

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drained serves with clients that are let go over a while; more is more of its
// configuration.
func drained(t *testing.T, over string, clients int, more ...string) (*server, []*speaker) {
	t.Helper()
	dir := t.TempDir()
	programAt(t, dir)
	write(t, dir+"/moot.yaml", "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0' }\ndrain: "+over+"\n"+strings.Join(more, "\n"))
	s := startServer(t, dir, "./moot", "serve", "-c", "moot.yaml")
	var all []*speaker
	for range clients {
		c, err := dialSpeaker(s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.conn.Close() })
		if !c.lines.Scan() {
			t.Fatal(c.lines.Err())
		}
		all = append(all, c)
	}
	return s, all
}

func (s *server) signal(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(s.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// After SIGTERM the node is not ready, lets nobody in, and closes its clients one
// batch after the other; then it ends with 0.
func TestClientsAreLetGoInBatches(t *testing.T) {
	s, clients := drained(t, "2s", 20)
	begun := time.Now()
	s.signal(t)
	if err := s.log.await(regexp.MustCompile(`msg="shutting down"`)); err != nil {
		t.Fatal(err)
	}
	var first, last time.Duration
	gone := make(chan time.Duration, len(clients))
	for _, c := range clients {
		go func() {
			if !c.lines.Scan() || c.lines.Text() != `{"status":"Bye","context":"api","reason":"shutdown"}` {
				t.Errorf("heard %q, %v", c.lines.Text(), c.lines.Err())
			}
			c.conn.Close()
			gone <- time.Since(begun)
		}()
	}
	first = <-gone
	res, err := http.Get("http://" + s.admin + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while it drains, ready is %s", res.Status)
	}
	for _, address := range []string{s.http, s.socket} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s takes connections while the node drains", address)
		}
	}
	for range clients[1:] {
		last = <-gone
	}
	if last-first < time.Second {
		t.Errorf("the first went after %v, the last after %v: want them spread over 2s", first, last)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	s.ended <- nil // for kill
	if log := s.log.String(); !strings.Contains(log, "msg=stopped") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	s, _ := drained(t, "1h", 3)
	s.signal(t)
	if err := s.log.await(regexp.MustCompile(`msg="shutting down"`)); err != nil {
		t.Fatal(err)
	}
	s.signal(t)
	var err error
	select {
	case err = <-s.ended:
	case <-time.After(deadline):
		t.Fatalf("it does not end:\n%s", &s.log)
	}
	s.ended <- err // for kill
	if err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v", err)
	}
}

// After SIGTERM the node is not ready, and serves on for drainDelay, new clients too;
// then it ends as it does without.
func TestANodeThatEndsServesOnForItsDrainDelay(t *testing.T) {
	s, clients := drained(t, "1h", 1, "drainDelay: 10m")
	s.signal(t)
	if err := s.log.await(regexp.MustCompile(`msg="shutting down" drainDelay=10m0s drain=1h0m0s`)); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + s.admin + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after SIGTERM ready is %s", res.Status)
	}
	late, err := dialSpeaker(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer late.conn.Close()
	if !late.lines.Scan() {
		t.Fatal("a new client is not let in: ", late.lines.Err())
	}
	for i, c := range append(clients, late) {
		if _, err := io.WriteString(c.conn, "detailsView\r\n"); err != nil {
			t.Fatal(err)
		}
		if !c.lines.Scan() || !strings.Contains(c.lines.Text(), `"status":"OK"`) {
			t.Errorf("client %d heard %q, %v", i, c.lines.Text(), c.lines.Err())
		}
	}
	if res, err = http.Get("http://" + s.http + "/"); err != nil {
		t.Fatal("the listener of WebSocket clients is closed: ", err)
	}
	res.Body.Close()
	s.signal(t)
	if err := <-s.ended; err == nil || err.Error() != "signal: terminated" {
		t.Errorf("after a second signal it ended with %v", err)
	}
	s.ended <- nil // for kill
}

func TestADrainDelayComesToAnEnd(t *testing.T) {
	s, clients := drained(t, "0s", 1, "drainDelay: 10ms")
	s.signal(t)
	if c := clients[0]; !c.lines.Scan() || c.lines.Text() != `{"status":"Bye","context":"api","reason":"shutdown"}` {
		t.Errorf("heard %q, %v", c.lines.Text(), c.lines.Err())
	}
	if err := <-s.ended; err != nil {
		t.Errorf("it ended with %v:\n%s", err, &s.log)
	}
	s.ended <- nil // for kill
}

// A reload while the node serves on does not have it let its clients go for longer than
// it may take to end.
func TestAReloadDoesNotProlongTheEnd(t *testing.T) {
	s, clients := drained(t, "0s", 2, "drainDelay: 3s")
	s.signal(t)
	if err := s.log.await(regexp.MustCompile(`msg="shutting down"`)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.cmd.Dir, "moot.yaml"), "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0' }\ndrain: 1h\ndrainDelay: 3s")
	if err := syscall.Kill(s.cmd.Process.Pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := s.log.await(regexp.MustCompile(`msg=reload `)); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if !c.lines.Scan() || c.lines.Text() != `{"status":"Bye","context":"api","reason":"shutdown"}` {
			t.Errorf("heard %q, %v", c.lines.Text(), c.lines.Err())
		}
		c.conn.Close()
	}
	if err := <-s.ended; err != nil {
		t.Errorf("it ended with %v:\n%s", err, &s.log)
	}
	s.ended <- nil // for kill
}
