package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
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

// TestWhatCannotBeReleased checks the errors for an invalid version, for missing guests, and for an invalid
// SOURCE_DATE_EPOCH.
func TestWhatCannotBeReleased(t *testing.T) {
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
