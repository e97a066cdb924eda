package node

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// startedWithFiles starts a server that may have this number of open files.
func startedWithFiles(t *testing.T, files int) *nodetest.Server {
	t.Helper()
	cmd := process(t, configured(t, t.TempDir(), ""))
	cmd.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -n %d; exec -a %s "$0" "$@"`, files, processName), cmd.Path}, cmd.Args[1:]...)
	var err error
	if cmd.Path, err = exec.LookPath("bash"); err != nil {
		t.Fatal(err)
	}
	return started(t, cmd)
}

// TestConnectionsWithoutAClientDoNotHoldAllDescriptors checks that connections that request a page and stay open, and
// those that send nothing, do not keep clients and operators out.
func TestConnectionsWithoutAClientDoNotHoldAllDescriptors(t *testing.T) {
	const files = 160
	s := startedWithFiles(t, files)
	for i := range 2 * files {
		c, err := net.Dial("tcp", s.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			continue
		}
		if _, err := fmt.Fprint(c, "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != http.StatusNotFound {
			t.Fatalf("request %d: %v, %v", i, answer, err)
		}
	}
	c, err := nodetest.Dial(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Conn.Close()
	if err := c.Hear(regexp.MustCompile(`"welcome"`)); err != nil {
		t.Fatal(err)
	}
	if status, metrics := ask(t, s, "/metrics"); status != 200 || !regexp.MustCompile(`(?m)^moot_pending_closed_total [1-9]`).MatchString(metrics) ||
		!strings.Contains(metrics, "\nmoot_accept_failures_total 0\n") {
		t.Errorf("metrics: %d, %.2000s", status, metrics)
	}
	if _, err := s.Terminate(); err != nil {
		t.Error(err)
	}
}

// TestAServerOutOfDescriptorsSaysSoAndRecovers checks that a server without free file descriptors logs that once,
// serves its clients and operators, and accepts waiting clients after others have left.
func TestAServerOutOfDescriptorsSaysSoAndRecovers(t *testing.T) {
	const files = 96
	s := startedWithFiles(t, files)
	welcome, details := regexp.MustCompile(`"welcome"`), regexp.MustCompile(`"fingerprint"`)
	var all []*nodetest.Client
	dial := func() *nodetest.Client {
		t.Helper()
		c, err := nodetest.Dial(s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Conn.Close() })
		all = append(all, c)
		return c
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for range files / 2 { // one after the other: the server closes connections of an address that has many without a client
		must(dial().Hear(welcome))
	}
	first := all[0]
	for range files / 2 {
		dial()
	}
	dial()
	must(s.Log.Await(regexp.MustCompile(`level=ERROR msg="out of file descriptors.*limits\.connections.*limit=96`)))
	_, err := fmt.Fprintln(first.Conn, "detailsView")
	must(err)
	must(first.Hear(details))
	for range 3 {
		http.DefaultClient.CloseIdleConnections() // each request uses a new connection
		if status, metrics := ask(t, s, "/metrics"); status != 200 || !regexp.MustCompile(`(?m)^moot_accept_failures_total [1-9]`).MatchString(metrics) {
			t.Errorf("metrics: %d, %.2000s", status, metrics)
		}
	}
	for _, c := range all[1 : files/2] {
		c.Conn.Close()
	}
	must(all[files].Hear(welcome))
	must(s.Log.Await(regexp.MustCompile(`msg="clients are accepted again"`)))
	log, err := s.Terminate()
	must(err)
	if n := strings.Count(log, "out of file descriptors"); n != 1 {
		t.Errorf("it was logged %d times:\n%s", n, log)
	}
	if !strings.Contains(log, "limits.connections is more than the limit of open files allows") {
		t.Errorf("nothing was said at start:\n%s", log)
	}
}
