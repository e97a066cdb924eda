package node

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/node/nodetest"
)

const (
	sanctionsPath = "/api/tenants/default/sanctions"
	warnsOfMemory = "sanctions are in memory and end with the process"
)

// ban sets a ban of a user by the server API of a node.
func ban(t *testing.T, s *nodetest.Server, user string) {
	t.Helper()
	c, err := client.New("http://"+s.Admin, adminKey)
	if err == nil {
		err = c.Do(t.Context(), "POST", sanctionsPath, map[string]any{"user": user, "kind": "ban"}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSanctionsSurviveAKill kills nodes with SIGKILL directly after they have answered a sanction. The next node on the
// directory has all of them. A second node on it, and one with a damaged file, end with an error that says what to do.
func TestSanctionsSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	file := configured(t, dir, "data: data\n")
	for i, user := range []string{"ann", "bob", "eve"} {
		s := started(t, process(t, file))
		if i == 1 {
			out, err := process(t, file).CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("another process uses this data directory")) {
				t.Errorf("a second node ends with %v:\n%s", err, out)
			}
		}
		ban(t, s, user)
		s.Kill()
	}
	s := started(t, process(t, file))
	if status, text := ask(t, s, sanctionsPath); status != 200 || strings.Count(text, `"kind":"ban"`) != 3 {
		t.Errorf("%d %s", status, text)
	}
	if strings.Contains(s.Log.String(), warnsOfMemory) {
		t.Error("the log says that sanctions are not kept")
	}
	s.Kill()
	if err := os.WriteFile(filepath.Join(dir, "data", "moderation.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := process(t, file).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("moderation.db: the file is empty")) || !bytes.Contains(out, []byte("restore it from a backup")) {
		t.Errorf("a node with a damaged file ends with %v:\n%s", err, out)
	}
}

// TestTheFirstSanctionInMemoryIsLogged checks that a node without data logs once, at the first sanction, that sanctions end with
// the process.
func TestTheFirstSanctionInMemoryIsLogged(t *testing.T) {
	s := inProcess(t, configured(t, t.TempDir(), ""))
	if strings.Contains(s.Log.String(), warnsOfMemory) {
		t.Error("it is logged without a sanction")
	}
	ban(t, s, "ann")
	ban(t, s, "bob")
	if n := strings.Count(s.Log.String(), warnsOfMemory); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
}
