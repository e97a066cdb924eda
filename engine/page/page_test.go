package page

import (
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// TestFilesAreCompressed checks which clients receive compressed files, that the content is the same, and that the two forms have
// different ETags.
func TestFilesAreCompressed(t *testing.T) {
	content := strings.Repeat("<p>text</p>\n", 1000)
	h := Handler(fstest.MapFS{"static/index.html": {Data: []byte(content)}, "static/a/b.js": {Data: []byte(content)}}, "static")
	get := func(path, accepted, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", accepted)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/a/b.js"} {
		tags := map[string]bool{}
		for accepted, zipped := range map[string]bool{"": false, "br": false, "gzip;q=0": false, "gzip;Q=0": false, "gzip;\tQ=0.000": false, "x-gzip, gzip; q=0.0": false, "gzip": true, "br, GZIP;q=0.5": true} {
			w := get(path, accepted, "")
			body := io.Reader(w.Body)
			if zipped {
				z, err := gzip.NewReader(body)
				if err != nil {
					t.Fatalf("%s, %q: %v", path, accepted, err)
				}
				body = z
			}
			text, err := io.ReadAll(body)
			tag := w.Header().Get("ETag")
			tags[tag] = true
			if err != nil || string(text) != content || w.Code != 200 || w.Header().Get("Vary") != "Accept-Encoding" || (w.Header().Get("Content-Encoding") == "gzip") != zipped {
				t.Errorf("%s, %q: %d %v, %d bytes, %v", path, accepted, w.Code, w.Header(), len(text), err)
			}
			if again := get(path, accepted, tag); again.Code != 304 || again.Body.Len() != 0 {
				t.Errorf("%s, %q, known: %d", path, accepted, again.Code)
			}
		}
		if len(tags) != 2 {
			t.Errorf("%s has the tags %v", path, tags)
		}
	}
	if w := get("/none", "gzip", ""); w.Code != 404 || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("an unknown path: %d %v", w.Code, w.Header())
	}
	if w := get("/index.html", "gzip", ""); w.Code != 301 {
		t.Errorf("/index.html: %d", w.Code)
	}
}
