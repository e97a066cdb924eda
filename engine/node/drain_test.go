package node

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// drained starts a node with a drain time, and connects clients. more has additional lines of the
// configuration.
func drained(t *testing.T, over string, clients int, more ...string) (*nodetest.Server, []*nodetest.Client) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "moot.yaml")
	draining(t, file, over, more...)
	s := started(t, process(t, file))
	var all []*nodetest.Client
	for range clients {
		c, err := nodetest.Dial(s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Conn.Close() })
		if !c.Lines.Scan() {
			t.Fatal(c.Lines.Err())
		}
		all = append(all, c)
	}
	return s, all
}

// draining writes a configuration with a drain time.
func draining(t *testing.T, file, over string, more ...string) {
	t.Helper()
	nodetest.Write(t, file, "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0', key: "+adminKey+" }\ndrain: "+over+"\n"+strings.Join(more, "\n"))
}

func terminate(t *testing.T, s *nodetest.Server) {
	t.Helper()
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestClientsAreClosedInBatches checks that after SIGTERM readiness fails, new clients are refused, and clients are
// closed in batches: with a drain time of an hour, one of 20 clients is closed at once, and the others are served.
func TestClientsAreClosedInBatches(t *testing.T) {
	s, clients := drained(t, "1h", 20)
	terminate(t, s)
	type answer struct {
		client *nodetest.Client
		line   string
	}
	answers := make(chan answer, len(clients))
	for _, c := range clients {
		go func() {
			c.Lines.Scan()
			answers <- answer{c, c.Lines.Text()}
		}()
	}
	first := <-answers
	if first.line != `{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}` {
		t.Errorf("the first client got %q", first.line)
	}
	if status, _ := ask(t, s, "/health/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("during the drain, ready is %d", status)
	}
	for _, address := range []string{s.HTTP, s.Socket} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s accepts connections during the drain", address)
		}
	}
	for _, c := range clients {
		if c == first.client {
			continue
		}
		if _, err := io.WriteString(c.Conn, "detailsView\r\n"); err != nil {
			t.Fatal(err)
		}
		if a := <-answers; !strings.Contains(a.line, `"status":"OK"`) {
			t.Errorf("another client got %q", a.line)
		}
	}
}

// TestADrainEndsTheNode checks that the node ends without an error when the last client is
// closed.
// TestASilentConnectionDoesNotFailAShutdown connects and sends no request, as browsers do in advance.
func TestASilentConnectionDoesNotFailAShutdown(t *testing.T) {
	s, _ := drained(t, "0s", 0)
	c, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	terminate(t, s)
	if err := s.Wait(); err != nil {
		t.Errorf("the node ends with %v", err)
	}
}

func TestADrainEndsTheNode(t *testing.T) {
	s, clients := drained(t, "200ms", 20)
	terminate(t, s)
	for i, c := range clients {
		if !c.Lines.Scan() || !byeWithinADrainOfZero.MatchString(c.Lines.Text()) {
			t.Errorf("client %d got %q, %v", i, c.Lines.Text(), c.Lines.Err())
		}
		c.Conn.Close()
	}
	if err := s.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if log := s.Log.String(); !strings.Contains(log, "msg=stopped") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestANodeServesDuringItsDrainDelay checks that after SIGTERM the node is not ready, and serves
// old and new clients for drainDelay.
func TestANodeServesDuringItsDrainDelay(t *testing.T) {
	s, clients := drained(t, "1h", 1, "drainDelay: 10m")
	terminate(t, s)
	if err := s.Log.Await(regexp.MustCompile(`msg="shutting down" drainDelay=10m0s drain=1h0m0s`)); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + s.Admin + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after SIGTERM ready is %s", res.Status)
	}
	late, err := nodetest.Dial(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Conn.Close()
	if !late.Lines.Scan() {
		t.Fatal("a new client is not let in: ", late.Lines.Err())
	}
	for i, c := range append(clients, late) {
		if _, err := io.WriteString(c.Conn, "detailsView\r\n"); err != nil {
			t.Fatal(err)
		}
		if !c.Lines.Scan() || !strings.Contains(c.Lines.Text(), `"status":"OK"`) {
			t.Errorf("client %d received %q, %v", i, c.Lines.Text(), c.Lines.Err())
		}
	}
	if res, err = http.Get("http://" + s.HTTP + "/"); err != nil {
		t.Fatal("the listener of WebSocket clients is closed: ", err)
	}
	res.Body.Close()
}

// TestADrainDelayEnds checks that after the drain delay the clients are closed and the node ends.
func TestADrainDelayEnds(t *testing.T) {
	s, clients := drained(t, "0s", 1, "drainDelay: 10ms")
	terminate(t, s)
	if c := clients[0]; !c.Lines.Scan() || c.Lines.Text() != `{"status":"Bye","context":"api","reason":"shutdown","retryAfter":10}` {
		t.Errorf("received %q, %v", c.Lines.Text(), c.Lines.Err())
	}
	if err := s.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, &s.Log)
	}
}

// byeWithinADrainOfZero is the last line to one of two clients that are closed at the same time.
var byeWithinADrainOfZero = regexp.MustCompile(`^\{"status":"Bye","context":"api","reason":"shutdown","retryAfter":(10|20)\}$`)

// TestAReloadDoesNotProlongAShutdown checks that a reload during the drain delay does not change
// the drain time of the shutdown.
func TestAReloadDoesNotProlongAShutdown(t *testing.T) {
	s, clients := drained(t, "0s", 2, "drainDelay: 3s")
	terminate(t, s)
	if err := s.Log.Await(regexp.MustCompile(`msg="shutting down"`)); err != nil {
		t.Fatal(err)
	}
	draining(t, filepath.Join(s.Dir(), "moot.yaml"), "1h", "drainDelay: 3s")
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := s.Log.Await(regexp.MustCompile(`msg=reload `)); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if !c.Lines.Scan() || !byeWithinADrainOfZero.MatchString(c.Lines.Text()) {
			t.Errorf("received %q, %v", c.Lines.Text(), c.Lines.Err())
		}
		c.Conn.Close()
	}
	if err := s.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, &s.Log)
	}
}
