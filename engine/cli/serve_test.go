package cli

import (
	"io"
	"log"
	"path/filepath"
	"testing"
)

// TestServeLogsNothingOfNetHTTP checks that net/http, which logs what a server sends unasked on an idle connection, has no log: the text may repeat
// the secrets of a request.
func TestServeLogsNothingOfNetHTTP(t *testing.T) {
	before := log.Writer()
	defer log.SetOutput(before)
	c := serveCommand{configFlags{Config: filepath.Join(t.TempDir(), "none.yaml")}}
	if err := c.Run(t.Context(), terminal{out: io.Discard, err: io.Discard}); err == nil {
		t.Error("a missing configuration is served")
	}
	if log.Writer() != io.Discard {
		t.Error("the standard log is written")
	}
}
