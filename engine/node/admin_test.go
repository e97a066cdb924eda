package node

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// withoutKey starts a node without admin.key and with a log format.
func withoutKey(t *testing.T, format string) *nodetest.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "moot.yaml")
	nodetest.Write(t, file, `
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0" }
drain: 0s
log: { format: `+format+` }
`)
	return inProcess(t, file)
}

// TestAMadeKeyIsShownInATextLog checks that a server without admin.key makes a key, logs it once
// in a text log, and accepts it at the API.
func TestAMadeKeyIsShownInATextLog(t *testing.T) {
	s := withoutKey(t, "text")
	found := regexp.MustCompile(`admin.key is not set.* key=(\S{20,})`).FindAllStringSubmatch(s.Log.String(), -1)
	if len(found) != 1 {
		t.Fatalf("%d keys in the log, want 1:\n%s", len(found), &s.Log)
	}
	key := found[0][1]
	for key, want := range map[string]int{key: http.StatusOK, key + "x": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Admin+"/api/nodes", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%d, want %d", answer.StatusCode, want)
		}
	}
}

// TestAMadeKeyIsNotLoggedAsJSON checks that a JSON log, which other programs collect and keep,
// has a warning in place of the key.
func TestAMadeKeyIsNotLoggedAsJSON(t *testing.T) {
	s := withoutKey(t, "json")
	if log := s.Log.String(); strings.Contains(log, `"key"`) || !strings.Contains(log, `"level":"WARN","msg":"admin.key is not set: the API refuses the admin`) {
		t.Errorf("the log is\n%s", log)
	}
}
