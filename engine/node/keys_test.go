package node

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// request sends a request to the server API of a node with a key, and returns the status.
func request(t *testing.T, s *nodetest.Server, method, path, key string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// TestKeysChangeWithAReload checks that a reload replaces the keys of the server API, that a rollback does not bring a
// removed one back, and that a key that was made at the start stays.
func TestKeysChangeWithAReload(t *testing.T) {
	dir := t.TempDir()
	const first, second = "the-first-key-of-ann", "the-second-key-of-ann"
	keyFile := filepath.Join(dir, "ann.key")
	nodetest.Write(t, keyFile, first+"\n")
	file := configured(t, dir, "")
	const start = "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\ndrain: 0s\n"
	nodetest.Write(t, file, start+"admin: { listen: '127.0.0.1:0', keys: [{ name: ann, key: '${file:ann.key}', role: operator }] }\n")
	s := inProcess(t, file)
	_, made, _ := strings.Cut(s.Log.String(), " key=")
	made, _, _ = strings.Cut(made, "\n")
	want := func(method, path, key string, status int) {
		t.Helper()
		if got := request(t, s, method, path, key); got != status {
			t.Errorf("%s %s with %q: %d, want %d", method, path, key, got, status)
		}
	}
	want("GET", "/api/nodes", first, 200)
	nodetest.Write(t, keyFile, second+"\n")
	want("POST", "/api/reload", first, 200)
	want("GET", "/api/nodes", first, 401)
	want("POST", "/api/rollback", second, 200)
	want("GET", "/api/nodes", first, 401)
	want("GET", "/api/nodes", made, 200)
	nodetest.Write(t, file, start+"admin: { listen: '127.0.0.1:0', keys: [{ name: ann, key: '${file:ann.key}', role: viewer }] }\n")
	want("POST", "/api/reload", made, 200)
	want("POST", "/api/reload", second, 403)
	want("GET", "/api/nodes", second, 200)
	if log := s.Log.String(); strings.Contains(log, first) || strings.Contains(log, second) {
		t.Errorf("the log has a key:\n%s", log)
	}
}
