package cli

import (
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
)

// Where no admin key is set one is made, shown once in the log, and opens the API.
func TestAKeyIsMadeWhereNoneIsSet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "moot.yaml")
	write(t, file, `
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0" }
drain: 0s
`)
	s := inProcess(t, file)
	found := regexp.MustCompile(`admin.key is not set.* key=(\S{20,})`).FindStringSubmatch(s.log.String())
	if found == nil {
		t.Fatalf("no key in the log:\n%s", &s.log)
	}
	for key, want := range map[string]int{found[1]: http.StatusOK, found[1] + "x": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/api/nodes", nil)
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
