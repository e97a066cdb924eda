package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var at = time.Unix(1_000_000_000, 0).UTC()

func some(t *testing.T) []file {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []file{{"moot-v1/moot", path, 0o755}, {"moot-v1/README.md", path, 0o644}}
}

func TestATarballSaysNothingOfWhereItWasMade(t *testing.T) {
	files := some(t)
	packed, err := tarball(files, at)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(plain)
	for _, f := range files {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || string(data) != "a program" || h.Name != f.name || h.Mode != f.mode || !h.ModTime.Equal(at) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%q, %v: %+v", data, err, h)
		}
	}
	same, err := tarball(some(t), at)
	if err != nil || !bytes.Equal(packed, same) {
		t.Errorf("the same files give other bytes: %v", err)
	}
}

func TestAZipForWindows(t *testing.T) {
	files := some(t)
	packed, err := zipped(files, at)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil || len(r.File) != len(files) {
		t.Fatalf("%v, %v", r, err)
	}
	for i, f := range r.File {
		if f.Name != files[i].name || f.Mode().Perm() != os.FileMode(files[i].mode) || !f.Modified.Equal(at) {
			t.Errorf("%+v", f.FileHeader)
		}
	}
	same, err := zipped(some(t), at)
	if err != nil || !bytes.Equal(packed, same) {
		t.Errorf("the same files give other bytes: %v", err)
	}
}

// TestReleaseErrors checks the errors for an invalid version, for another folder than that of the repository, and for an invalid
// SOURCE_DATE_EPOCH.
func TestReleaseErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	for version, want := range map[string]string{"v1; rm -rf x": "is not a version", "../v1": "is not a version", "v1": "run `make release`"} {
		r := &release{version: version, out: "out"}
		if err := r.run([]string{"linux/amd64"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", version, err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if err := (&release{version: "v1", out: "out"}).run(nil); err == nil || !strings.Contains(err.Error(), "seconds since 1970") {
		t.Errorf("%v", err)
	}
}

// TestPagesHaveNoDeadLinks checks that the links of the pages in an archive lead to files in it, or to the repository.
func TestPagesHaveNoDeadLinks(t *testing.T) {
	t.Chdir("../../..")
	r := &release{version: "v1.2.3"}
	var err error
	if r.files, err = contents(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rule.js", "guests/builtin/blocklist.wasm", "guests/game/game.ts", "guests/language/language.js", "guests/shadowban/shadowban.lua"} {
		if !slices.Contains(r.files, name) {
			t.Errorf("the archive lacks %s", name)
		}
	}
	to, pages, moved := filepath.Join(t.TempDir(), "page.md"), 0, 0
	for _, page := range r.files {
		if !strings.HasSuffix(page, ".md") {
			continue
		}
		if err := r.page(page, to); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)[^)]*\)`).FindAllStringSubmatch(string(text), -1) {
			path, far := strings.CutPrefix(m[1], "https://github.com/mootchat/moot/tree/v1.2.3/")
			if !far && (m[1] == "" || strings.Contains(m[1], ":")) {
				continue
			}
			if far {
				moved++
			} else {
				path = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			if in := slices.ContainsFunc(r.files, func(f string) bool { return f == path || strings.HasPrefix(f, path+"/") }); in == far {
				t.Errorf("%s links to %s", page, m[1])
			}
		}
	}
	if pages < 10 || moved < 10 {
		t.Errorf("%d pages, %d links to the repository", pages, moved)
	}
}
