package console

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Limits of the page, in bytes. At 400 kbit/s, 50 kB take a second.
const (
	paintBytes = 20 << 10  // what a browser needs before it shows the page: HTML and style sheets
	pageBytes  = 208 << 10 // all files
	zippedPage = 70 << 10  // all files, compressed: 22 KiB of them are uPlot
)

// files returns the files of the page by their paths.
func files(t *testing.T) map[string][]byte {
	all := map[string][]byte{}
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(name) == "LICENSE" {
			return err
		}
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest("GET", strings.TrimPrefix(strings.TrimSuffix(name, "index.html"), "static"), nil))
		all[strings.TrimPrefix(name, "static/")] = w.Body.Bytes()
		if w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s: %d", name, w.Code)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestThePageIsSmall checks the number of bytes that a browser loads.
func TestThePageIsSmall(t *testing.T) {
	paint, total := 0, 0
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	for name, content := range files(t) {
		total += len(content)
		if _, err := z.Write(content); err != nil {
			t.Fatal(err)
		}
		if name == "index.html" || path.Ext(name) == ".css" {
			paint += len(content)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes before the first paint, %d in total, %d compressed", paint, total, zipped.Len())
	if paint > paintBytes || total > pageBytes || zipped.Len() > zippedPage {
		t.Errorf("%d bytes before the first paint, %d in total, %d compressed: the limits are %d, %d and %d", paint, total, zipped.Len(), paintBytes, pageBytes, zippedPage)
	}
}

// TestNothingBlocksTheFirstPaint checks that scripts are deferred, and that all modules are requested at once and not one after the
// other.
func TestNothingBlocksTheFirstPaint(t *testing.T) {
	all := files(t)
	page := string(all["index.html"])
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(tag, " defer") && !strings.Contains(tag, `type="module"`) {
			t.Errorf("%s blocks", tag)
		}
	}
	for name := range all {
		if path.Ext(name) == ".js" && name != "app.js" && !strings.HasPrefix(name, "vendor/") && !strings.Contains(page, `<link rel="modulepreload" href="`+name+`">`) {
			t.Errorf("index.html has no modulepreload for %s: the browser finds it late", name)
		}
	}
}
