package node

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// TestAChangedConfigMapIsLoaded checks a reload after a change like that of Kubernetes: the file is a link into a
// directory that is itself a link, and the second link is replaced.
func TestAChangedConfigMapIsLoaded(t *testing.T) {
	dir := t.TempDir()
	const settings = `{ http: { listen: "127.0.0.1:0" }, socket: { listen: "127.0.0.1:0" }, admin: { listen: "127.0.0.1:0" }, drain: 0s, watch: true, limits: { roomsPerConnection: %N% } }`
	version := func(name, n string) {
		t.Helper()
		nodetest.Write(t, filepath.Join(dir, name, "moot.yaml"), regexp.MustCompile(`%N%`).ReplaceAllString(settings, n))
		link := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_1", "7")
	file := filepath.Join(dir, "moot.yaml")
	if err := os.Symlink("..data/moot.yaml", file); err != nil {
		t.Fatal(err)
	}
	s := inProcess(t, file)
	version("..2026_2", "8")
	if err := s.Log.Await(regexp.MustCompile(`msg=reload revision=`)); err != nil {
		t.Error(err)
	}
}
