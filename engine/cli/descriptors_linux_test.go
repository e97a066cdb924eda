package cli

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A server that has no file descriptors left says so once, goes on serving who is
// connected and operators, and accepts those who wait when others have gone.
func TestAServerOutOfDescriptorsSaysSoAndRecovers(t *testing.T) {
	const files = 96
	cmd := moot(t, t.TempDir(), "")
	cmd.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -n %d; exec -a moot "$0" "$@"`, files), cmd.Path}, cmd.Args[1:]...)
	var err error
	if cmd.Path, err = exec.LookPath("bash"); err != nil {
		t.Fatal(err)
	}
	s, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	welcome, details := regexp.MustCompile(`"welcome"`), regexp.MustCompile(`"fingerprint"`)
	var all []*speaker
	dial := func() *speaker {
		t.Helper()
		c, err := dialSpeaker(s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.conn.Close() })
		all = append(all, c)
		return c
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := dial()
	must(first.hear(welcome))
	for range files {
		dial()
	}
	must(s.log.await(regexp.MustCompile(`level=ERROR msg="out of file descriptors.*limits\.connections.*limit=96`)))
	_, err = fmt.Fprintln(first.conn, "detailsView")
	must(err)
	must(first.hear(details))
	for range 3 {
		http.DefaultClient.CloseIdleConnections() // each has a connection of its own
		if status, metrics := s.ask(t, "/metrics"); status != 200 || !regexp.MustCompile(`(?m)^moot_accept_failures_total [1-9]`).MatchString(metrics) {
			t.Errorf("metrics: %d, %.2000s", status, metrics)
		}
	}
	for _, c := range all[1 : files/2] {
		c.conn.Close()
	}
	must(all[files].hear(welcome))
	must(s.log.await(regexp.MustCompile(`msg="clients are accepted again"`)))
	log, err := s.terminate()
	must(err)
	if n := strings.Count(log, "out of file descriptors"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, log)
	}
	if !strings.Contains(log, "limits.connections is more than the limit of open files allows") {
		t.Errorf("nothing was said at start:\n%s", log)
	}
}
