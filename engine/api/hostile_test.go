package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster/memory"
)

// listener reads a recording, and calls heard for each line.
type listener struct {
	*httptest.ResponseRecorder
	heard func(line string)
}

func (l *listener) Write(p []byte) (int, error) {
	if line := bytes.TrimSpace(p); len(line) > 0 {
		l.heard(string(line))
	}
	return l.ResponseRecorder.Write(p)
}

func (n *node) listen(ctx context.Context, path, key string, heard func(string)) int {
	r := httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:9090"+path, nil)
	r.Header.Set("Authorization", "Bearer "+key)
	l := &listener{httptest.NewRecorder(), heard}
	n.api.Handler().ServeHTTP(l, r)
	return l.Code
}

// firstLine returns the first line of a recording.
func firstLine(n *node, path, key string) (line string) {
	ctx, hangUp := context.WithCancel(n.t.Context())
	defer hangUp()
	n.listen(ctx, path, key, func(l string) { line = l; hangUp() })
	return line
}

// TestATenantsKeyCannotHoldThePort checks that the number of recordings of a tenant's key is limited, and that the admin's
// requests are answered at the limit.
func TestATenantsKeyCannotHoldThePort(t *testing.T) {
	n := alone(t, newProgram().use)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	begun := make(chan string, 100)
	var open sync.WaitGroup
	for range 8 {
		open.Go(func() { n.listen(ctx, "/api/tenants/acme/record", acmeKey, func(l string) { begun <- l }) })
	}
	for range 8 {
		<-begun
	}
	if status, answer := n.request("GET", "/api/tenants/acme/record", "", withKey(acmeKey)); status != http.StatusTooManyRequests || code(answer) != api.CodeRateLimited {
		t.Errorf("one recording more: %d %s", status, answer)
	}
	if line := firstLine(n, "/api/tenants/acme/record", adminKey); line == "" {
		t.Error("the admin is not served")
	}
	hangUp()
	open.Wait()
	if line := firstLine(n, "/api/tenants/acme/record", acmeKey); line == "" {
		t.Error("the places are not given back")
	}
	if status, answer := n.request("GET", "/api/tenants/default/record", "", withKey(acmeKey)); status != http.StatusForbidden {
		t.Errorf("another tenant's recording: %d %s", status, answer)
	}
}

// TestTenantsTogetherCannotHoldThePort checks that the keys of all tenants together have at most a quarter of the sockets for
// recordings.
func TestTenantsTogetherCannotHoldThePort(t *testing.T) {
	const tenants = 64 // with 8 recordings each they would take all 512 sockets
	texts, configs := map[string]string{}, []engine.TenantConfig{}
	for i := range tenants {
		name := fmt.Sprint("t", i)
		texts[name] = "the-key-of-" + name
		configs = append(configs, engine.TenantConfig{Name: name})
	}
	n := startWith(t, memory.New().Node("one"), configs, newProgram().use, func(c *api.Config) { c.Keys = keys(texts) })
	ctx, hangUp := context.WithCancel(t.Context())
	answers := make(chan bool, 8*tenants)
	var open sync.WaitGroup
	for name, key := range texts {
		for range 8 {
			open.Go(func() {
				var once sync.Once
				if status := n.listen(ctx, "/api/tenants/"+name+"/record", key, func(l string) { once.Do(func() { answers <- !strings.Contains(l, api.CodeRateLimited) }) }); status != 200 && status != 429 {
					t.Errorf("tenant %s: %d", name, status)
				}
			})
		}
	}
	recordings := 0
	for range 8 * tenants {
		if <-answers {
			recordings++
		}
	}
	if recordings != 128 {
		t.Errorf("tenants have %d recordings under way, want 128", recordings)
	}
	n.refused("/api/tenants/t0/record", texts["t0"])
	if line := firstLine(n, "/api/tenants/t0/record", adminKey); line == "" || strings.Contains(line, api.CodeRateLimited) {
		t.Errorf("the admin is not served: %s", line)
	}
	hangUp()
	open.Wait()
	if line := firstLine(n, "/api/tenants/t1/record", texts["t1"]); line == "" || strings.Contains(line, api.CodeRateLimited) {
		t.Errorf("the places are not given back: %s", line)
	}
}

// TestRequestsWithoutAKeyAreRefused checks that requests without a key are refused for each path of the document and for paths
// that try to bypass the guard.
func TestRequestsWithoutAKeyAreRefused(t *testing.T) {
	n := alone(t, newProgram().use)
	bare := func(r *http.Request) { r.Header.Del("Authorization") }
	paths := []string{"GET /api/openapi.json", "GET /api/..%2Fapi/nodes", "GET /api/tenants/%2e%2e/nodes", "POST /api/reload?key=" + adminKey, "OPTIONS /api/nodes", "HEAD /api/nodes", "TRACE /api/nodes"}
	for _, p := range append(paths, newTour(n).paths...) {
		method, path, _ := strings.Cut(p, " ")
		if status, answer := n.request(method, path, "", bare); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", p, status, answer)
		}
	}
	for _, path := range []string{"/api//nodes", "//evil.example.com/../api/nodes", "/health/../api/nodes", "/metrics/../api/nodes"} {
		if status, answer := n.request("GET", path, "", bare); status < 300 || strings.Contains(answer, "startedAt") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	empty := alone(t, func(c *api.Config) { c.Keys = keys(map[string]string{"acme": ""}) })
	if status, answer := empty.request("GET", "/api/tenants/acme", "", withKey("")); status != http.StatusUnauthorized {
		t.Errorf("an empty key: %d %s", status, answer)
	}
}

// TestAPageInTheOperatorsBrowser checks that a page in the browser of an operator cannot read answers, cannot send requests
// with a host name that resolves to the server, and cannot lock the operator out.
func TestAPageInTheOperatorsBrowser(t *testing.T) {
	n := alone(t, newProgram().use)
	for _, path := range []string{"/api/nodes", "/metrics", "/health/ready", "/health/live"} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, nil)
			r.Header.Set("Origin", "https://evil.example.com")
			r.Header.Set("Access-Control-Request-Headers", "authorization")
			w := httptest.NewRecorder()
			n.api.Handler().ServeHTTP(w, r)
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s: %s", method, path, name)
				}
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %v", method, path, w.Header())
			}
		}
	}
	for range 100 {
		status, answer := n.request("GET", "/api/nodes", "", withKey("a guess"), func(r *http.Request) { r.Host = "evil.example.com" })
		if status != http.StatusMisdirectedRequest {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if status, answer := n.request("GET", "/api/nodes", ""); status != http.StatusOK {
		t.Errorf("the operator is locked out: %d %s", status, answer)
	}
}

// TestHostileBodies checks that malformed request bodies are refused, and that the node answers the next request.
func TestHostileBodies(t *testing.T) {
	n := alone(t, newProgram().use)
	deep := strings.Repeat("[", 200_000)
	for _, body := range []string{
		`{"message":` + deep + strings.Repeat("]", 200_000) + `}`, `{"message":` + deep, "[]", "null", `"x"`, "\x00", "{\"message\":\"\xff\"", `{"message":1e999999x}`,
	} {
		if status, answer := n.request("POST", "/api/tenants/acme/rooms/den/messages", body, withKey(acmeKey)); status < 400 || status >= 500 || code(answer) == "" {
			t.Errorf("%.20q: %d %.200s", body, status, answer)
		}
	}
	form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	if status, answer := n.request("POST", "/api/tenants/acme/rooms/den/messages", "message=x", form); status < 400 || status >= 500 || code(answer) == "" {
		t.Errorf("a form: %d %s", status, answer)
	}
	if status, answer := n.request("GET", "/api/nodes", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
}
