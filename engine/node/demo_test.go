package node

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// page requests a path of the HTTP port with a Host header. It returns the status and, for a JSON file, the list of
// rooms.
func page(t *testing.T, s *nodetest.Server, host, path string) (status int, rooms []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK && filepath.Ext(path) == ".json" {
		if err := json.NewDecoder(answer.Body).Decode(&rooms); err != nil {
			t.Fatal(err)
		}
	}
	return answer.StatusCode, rooms
}

func TestTheDemoPageIsServedOnlyWhereItIsAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "moot.yaml")
	nodetest.Write(t, file, `{ http: { listen: "127.0.0.1:0" }, socket: { listen: "127.0.0.1:0" }, admin: { listen: "127.0.0.1:0" }, drain: 0s }`)
	s := inProcess(t, file)
	for _, path := range []string{"/", "/app.js", "/rooms.json"} {
		if status, _ := page(t, s, "localhost", path); status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, status)
		}
	}
}

func TestTheDemoPageListsTheRoomsOfATenant(t *testing.T) {
	file := filepath.Join(t.TempDir(), "moot.yaml")
	nodetest.Write(t, file, `
http: { listen: "127.0.0.1:0", demo: true }
socket: { listen: "127.0.0.1:0", tenant: acme }
admin: { listen: "127.0.0.1:0" }
drain: 0s
tenants:
  acme: { match: { host: [acme.test], path: [/acme] }, rooms: { starting: [den, attic] } }
  vault: { match: { host: [vault.test] }, rooms: { starting: [treasure] }, auth: { jwt: { secret: 0123456789abcdef0123456789abcdef, required: true } } }
`)
	s := inProcess(t, file)
	for _, c := range []struct {
		host, path string
		want       []string
	}{
		{"acme.test", "/rooms.json", []string{"den", "attic"}},
		{"localhost", "/acme/rooms.json", []string{"den", "attic"}},
		{"localhost", "/rooms.json", []string{}},
		{"vault.test", "/rooms.json", []string{}}, // its rooms need a token
	} {
		if status, rooms := page(t, s, c.host, c.path); status != http.StatusOK || !slices.Equal(rooms, c.want) {
			t.Errorf("GET %s of %s = %d %q, want %q", c.path, c.host, status, rooms, c.want)
		}
	}
	if status, _ := page(t, s, "localhost", "/acme"); status != http.StatusOK {
		t.Errorf("GET /acme = %d, want the page after a redirect", status)
	}
}
