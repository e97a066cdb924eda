package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
)

func TestTheAPIAsksForAKey(t *testing.T) {
	n := alone(t)
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer nothing", "prefix": "Bearer " + adminKey[:10], "longer": "Bearer " + adminKey + "x",
		"empty": "Bearer ", "other scheme": "Basic " + adminKey, "bare": adminKey,
	} {
		status, answer := n.request("GET", "/api/nodes", "", func(r *http.Request) { r.Header.Set("Authorization", header) })
		if status != http.StatusUnauthorized || code(answer) != api.CodeUnauthorized {
			t.Errorf("%s: %d %s", name, status, answer)
		}
		if strings.Contains(answer, adminKey[:10]) {
			t.Errorf("%s: the answer shows the key: %s", name, answer)
		}
	}
	if status, answer := n.request("GET", "/api/nodes", ""); status != http.StatusOK {
		t.Errorf("with the key: %d %s", status, answer)
	}
	if status, answer := n.request("GET", "/api/nodes", "", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+adminKey) }); status != http.StatusOK {
		t.Errorf("with another case: %d %s", status, answer)
	}
}

func TestATenantsKeyReachesItsTenantAlone(t *testing.T) {
	n := alone(t)
	for _, path := range []string{"/api/nodes"} {
		status, answer := n.request("GET", path, "", withKey(acmeKey))
		if status != http.StatusForbidden || code(answer) != api.CodeForbidden {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

func TestHealthAndMetricsAskForNoKey(t *testing.T) {
	n := alone(t, func(c *api.Config) {
		c.Checks = []api.Check{{Name: "rules", Advisory: true, Ready: func(context.Context) error { return errors.New("secret detail") }}}
	})
	bare := func(r *http.Request) { r.Header.Del("Authorization") }
	for path, want := range map[string]string{
		"/health/live": `"live":true`, "/health/ready": `"ready":true`, "/metrics": `moot_connections{tenant="acme"} 0`,
	} {
		status, answer := n.request("GET", path, "", bare)
		if status != http.StatusOK || !strings.Contains(answer, want) || strings.Contains(answer, "secret") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if _, answer := n.request("GET", "/health/ready", ""); !strings.Contains(answer, "secret detail") {
		t.Errorf("with the key there are no details: %s", answer)
	}
	if _, answer := n.request("GET", "/health/ready", "", withKey(acmeKey)); strings.Contains(answer, "secret detail") {
		t.Errorf("a tenant's key is shown details: %s", answer)
	}
}

func TestANodeThatIsNotReadySaysSo(t *testing.T) {
	n := alone(t, func(c *api.Config) {
		c.Checks = []api.Check{{Name: "disk", Ready: func(context.Context) error { return errors.New("full") }}}
	})
	if status, answer := n.request("GET", "/health/ready", ""); status != http.StatusServiceUnavailable || !strings.Contains(answer, `"disk":{"ok":false,"detail":"full"}`) {
		t.Errorf("%d %s", status, answer)
	}
}

func TestOnlyTheServersOwnNamesAreAnswered(t *testing.T) {
	n := alone(t, func(c *api.Config) { c.Hosts = []string{"moot.example.com"} })
	for host, want := range map[string]int{
		"127.0.0.1:9090": 200, "[::1]:9090": 200, "[::1]": 200, "localhost": 200, "LOCALHOST:1": 200, "moot.example.com": 200, "moot.example.com.:9090": 200, "192.0.2.7": 200,
		"evil.example.com": 421, "moot.example.com.evil.org": 421, "localhost.evil.org:9090": 421, "127.0.0.1.evil.org": 421, "": 421,
	} {
		for _, path := range []string{"/api/nodes", "/metrics"} {
			if status, answer := n.request("GET", path, "", func(r *http.Request) { r.Host = host }); status != want {
				t.Errorf("%q %s: %d %s", host, path, status, answer)
			}
		}
	}
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	n := alone(t)
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.com") },
		func(r *http.Request) { r.Header.Set("Origin", "null") },
	} {
		if status, answer := n.request("POST", "/api/nodes", "{}", change); status != http.StatusForbidden || code(answer) != api.CodeCrossOrigin {
			t.Errorf("%d %s", status, answer)
		}
	}
}

func TestAKeyMayAskSoOftenAndNoMore(t *testing.T) {
	n := alone(t, func(c *api.Config) { c.RequestsPerSecond = 1 })
	for range 2 {
		if status, answer := n.request("GET", "/api/tenants/default/rooms/lobby", ""); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if status, answer := n.request("GET", "/api/tenants/default/rooms/lobby", ""); status != http.StatusTooManyRequests || code(answer) != api.CodeRateLimited {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := n.request("GET", "/api/nodes", "", withKey(acmeKey)); status != http.StatusForbidden {
		t.Errorf("another key: %d %s", status, answer)
	}
}

func TestNotFoundIsAnErrorObject(t *testing.T) {
	n := alone(t)
	for _, path := range []string{"/", "/api/", "/api/nothing", "/nothing", "/metrics/x"} {
		if status, answer := n.request("GET", path, ""); status != http.StatusNotFound || code(answer) != api.CodeNoEndpoint {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, answer := n.request("GET", "/api/nodes?nonsense=1", ""); status != 422 || code(answer) != api.CodeInvalid {
		t.Errorf("%d %s", status, answer)
	}
}

// TestWrongKeysLockOutNoKeyInUse checks that an address that has sent many wrong keys may go on with a key that it has
// sent before, and that a key is not accepted for the first time meanwhile: a guess would be.
func TestWrongKeysLockOutNoKeyInUse(t *testing.T) {
	n := alone(t)
	path := "/api/tenants/acme"
	if status, answer := n.request("GET", path, ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	for range 25 {
		n.request("GET", path, "", withKey("a wrong key"))
	}
	for who, c := range map[string]struct {
		key    string
		status int
	}{
		"a key in use": {adminKey, http.StatusOK}, "a key for the first time": {acmeKey, http.StatusTooManyRequests},
		"a wrong key": {"a wrong key", http.StatusTooManyRequests},
	} {
		if status, answer := n.request("GET", path, "", withKey(c.key)); status != c.status {
			t.Errorf("%s: %d %s", who, status, answer)
		}
	}
}
