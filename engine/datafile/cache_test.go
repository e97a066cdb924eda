package datafile

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/host"
)

const openerName = "datafile-opener"

// counting is a compilation cache that counts hits and stored entries.
type counting struct {
	*diskcache.Cache
	hits, stored int
}

func (c *counting) Get(name string) []byte {
	content := c.Cache.Get(name)
	if content != nil {
		c.hits++
	}
	return content
}

func (c *counting) Put(name string, content []byte) {
	c.stored++
	c.Cache.Put(name, content)
}

// openCounted opens and closes a file with the cache in cacheDir, and writes the counts of the cache to out.
func openCounted(dir, cacheDir string, out io.Writer) error {
	c := &counting{Cache: diskcache.Open(diskcache.Config{Dir: cacheDir})}
	s, err := Open(context.Background(), dir, host.Compilations(c, slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d hits, %d stored", c.hits, c.stored)
	return s.Close()
}

// TestSQLiteIsCompiledOnce checks that a second process takes the machine code of SQLite from the cache.
func TestSQLiteIsCompiledOnce(t *testing.T) {
	dir, cacheDir := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0 hits, 1 stored", "1 hits, 0 stored"} {
		cmd := exec.Command(self, dir, cacheDir)
		cmd.Args[0], cmd.Stderr = openerName, os.Stderr
		if out, err := cmd.Output(); err != nil || string(out) != want {
			t.Errorf("process %d: %s, %v, want %s", i+1, out, err, want)
		}
	}
}
