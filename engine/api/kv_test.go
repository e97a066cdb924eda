package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
)

// TestKeysOfValuesAreTexts checks that keys must be valid UTF-8, like the keys of modules. JSON would change other bytes in a
// listing, and its cursor would never reach the end.
func TestKeysOfValuesAreTexts(t *testing.T) {
	p := newProgram()
	n := alone(t, p.use)
	const all = "/api/tenants/acme/modules/mask/kv"
	for _, key := range []string{"%ff", "a%fe%01", "%ed%a0%80", strings.Repeat("k", 257), strings.Repeat("%c3%a4", 129)} {
		if status, answer := n.request("PUT", all+"/"+key, `{"text":"x"}`, withKey(acmeKey)); status != http.StatusUnprocessableEntity || code(answer) != api.CodeInvalid {
			t.Errorf("the key %.20s...: %d %s", key, status, answer)
		}
		if status, answer := n.request("DELETE", all+"/"+key, "", withKey(acmeKey)); status != http.StatusNoContent {
			t.Errorf("removing %.20s...: %d %s", key, status, answer)
		}
	}
	for _, key := range []string{"%c3%a4", "a%00b", "%f0%9f%98%80", strings.Repeat("k", 256)} {
		if status, answer := n.request("PUT", all+"/"+key, `{"text":"x"}`, withKey(acmeKey)); status != http.StatusNoContent {
			t.Errorf("the key %.20s...: %d %s", key, status, answer)
		}
	}
	for _, query := range []string{"?cursor=%ff", "?limit=1&cursor=a%fe"} {
		if status, answer := n.request("GET", all+query, "", withKey(acmeKey)); status != http.StatusUnprocessableEntity || code(answer) != api.CodeInvalid {
			t.Errorf("%s: %d %s", query, status, answer)
		}
	}
}
