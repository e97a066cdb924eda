package demo_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/demo"
)

func get(t *testing.T, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	demo.Handler().ServeHTTP(w, r)
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

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	first, _ := get(t, "GET", "/app.js")
	tag := first.Header.Get("ETag")
	if again, body := get(t, "GET", "/app.js", "If-None-Match", tag); tag == "" || again.StatusCode != 304 || body != "" {
		t.Errorf("with tag %q: %d, %d bytes; want 304 and none", tag, again.StatusCode, len(body))
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/static/app.js", 404}, {"GET", "/demo.go", 404}, {"GET", "/../demo.go", 404}, {"POST", "/", 405}, {"HEAD", "/", 200},
	} {
		if res, _ := get(t, c.method, c.path); res.StatusCode != c.status {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, res.StatusCode, c.status)
		}
	}
}

// The policy would refuse such things at run time; here they are found at once.
func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]+\.|<script>|<style|\son[a-z]+="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`)
	for _, path := range []string{"/", "/app.js", "/client.js", "/style.css"} {
		_, body := get(t, "GET", path)
		if found := foreign.FindString(body); found != "" {
			t.Errorf("%s contains %q", path, found)
		}
	}
}
