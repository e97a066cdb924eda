package cli

import (
	"errors"
	"regexp"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestASecondSignalEndsAtOnce checks that the first SIGTERM starts the drain of a server, and that the second ends the process.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	dir := t.TempDir()
	programAt(t, dir)
	nodetest.Write(t, dir+"/moot.yaml", "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0' }\ndrain: 1h\n")
	s := startServer(t, dir, "./moot", "serve", "-c", "moot.yaml")
	c, err := nodetest.Dial(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Conn.Close()
	if err := c.Hear(regexp.MustCompile(`"welcome"`)); err != nil {
		t.Fatal(err)
	}
	first := s.Signal(syscall.SIGTERM)
	if err := errors.Join(first, s.Log.Await(regexp.MustCompile(`msg="shutting down"`)), s.Signal(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v", err)
	}
}
