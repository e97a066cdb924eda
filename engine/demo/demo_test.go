package demo_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/demo"
)

// site serves a tenant with the path /acme, and the default tenant.
func site(r *http.Request) ([]string, string) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/acme"); ok {
		return []string{"den", `<b>"`}, rest
	}
	return nil, r.URL.Path
}

func get(t *testing.T, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	demo.Handler(site).ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestPageAndItsFilesAreServed(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html", "/app.js": "text/javascript", "/client.js": "text/javascript", "/style.css": "text/css", "/icon.svg": "image/svg+xml",
	} {
		res, body := get(t, "GET", path)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || body == "" {
			t.Errorf("GET %s = %d, %s, %d bytes; want 200, %s", path, res.StatusCode, res.Header.Get("Content-Type"), len(body), kind)
		}
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s is not strict: %v", path, res.Header)
		}
	}
}

func TestRoomsOfTheTenantAreListed(t *testing.T) {
	for path, want := range map[string]string{
		"/rooms.json":      "[]\n",
		"/acme/rooms.json": "[\"den\",\"\\u003cb\\u003e\\\"\"]\n",
	} {
		res, body := get(t, "GET", path)
		if res.StatusCode != 200 || body != want || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s = %d %v %s, want %s", path, res.StatusCode, res.Header, body, want)
		}
	}
	many := demo.Handler(func(r *http.Request) ([]string, string) {
		return make([]string, 10*demo.MaxRooms), r.URL.Path
	})
	w := httptest.NewRecorder()
	many.ServeHTTP(w, httptest.NewRequest("GET", "/rooms.json", nil))
	var listed []string
	if err := json.Unmarshal(w.Body.Bytes(), &listed); err != nil || len(listed) != demo.MaxRooms {
		t.Errorf("%d rooms are listed, %v; want %d", len(listed), err, demo.MaxRooms)
	}
}

func TestTenantPathServesThePage(t *testing.T) {
	res, _ := get(t, "GET", "/acme")
	if at, err := res.Location(); res.StatusCode != http.StatusTemporaryRedirect || err != nil || res.Header.Get("Location") != "acme/" {
		t.Errorf("GET /acme = %d to %v, %v; want acme/, beside which the page finds its files", res.StatusCode, at, err)
	}
	_, page := get(t, "GET", "/acme/")
	_, root := get(t, "GET", "/")
	_, script := get(t, "GET", "/acme/app.js")
	if page != root || page == "" || script == "" {
		t.Errorf("GET /acme/ has %d bytes, / %d, /acme/app.js %d", len(page), len(root), len(script))
	}
}

// TestPageContainsNoRoomsAndTokens checks that the page's files contain no rooms and
// tokens: those come from the configuration.
func TestPageContainsNoRoomsAndTokens(t *testing.T) {
	for _, path := range []string{"/", "/app.js", "/client.js"} {
		_, body := get(t, "GET", path)
		if found := regexp.MustCompile(`letmein|defaultRoom|otherRoom|\bsecure\b`).FindString(body); found != "" {
			t.Errorf("%s contains %q", path, found)
		}
	}
}

func TestUnchangedFileIsNotModified(t *testing.T) {
	first, _ := get(t, "GET", "/app.js")
	tag := first.Header.Get("ETag")
	if again, body := get(t, "GET", "/app.js", "If-None-Match", tag); tag == "" || again.StatusCode != 304 || body != "" {
		t.Errorf("with tag %q: %d, %d bytes; want 304 and none", tag, again.StatusCode, len(body))
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/static/app.js", 404}, {"GET", "/demo.go", 404}, {"GET", "/../demo.go", 404}, {"POST", "/", 405}, {"POST", "/rooms.json", 405}, {"POST", "/acme", 405}, {"HEAD", "/", 200},
	} {
		if res, _ := get(t, c.method, c.path); res.StatusCode != c.status {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, res.StatusCode, c.status)
		}
	}
}

// TestPageLoadsItsOwnFilesOnly checks that the files of the page contain no other hosts
// and no inline scripts or styles. The Content-Security-Policy would block those, but
// only in a browser.
func TestPageLoadsItsOwnFilesOnly(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]+\.|<script>|<style|\son[a-z]+="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	for _, path := range []string{"/", "/app.js", "/client.js", "/style.css"} {
		_, body := get(t, "GET", path)
		if found := foreign.FindString(body); found != "" {
			t.Errorf("%s contains %q", path, found)
		}
	}
}
