package diskcache_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/diskcache"
)

func open(t *testing.T, cfg diskcache.Config) (c *diskcache.Cache, dir string, logs *bytes.Buffer) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "cache")
	}
	logs = new(bytes.Buffer)
	cfg.Log = slog.New(slog.NewTextHandler(logs, nil))
	return diskcache.Open(cfg), cfg.Dir, logs
}

// only returns the path of the only file in a directory.
func only(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	return filepath.Join(dir, files[0].Name())
}

func TestGetReturnsWhatPutStored(t *testing.T) {
	c, dir, logs := open(t, diskcache.Config{})
	if got := c.Get("a"); got != nil {
		t.Errorf("an empty cache has %q", got)
	}
	for _, content := range []string{"content", "other", ""} {
		c.Put("a", []byte(content))
		if got := c.Get("a"); got == nil || string(got) != content {
			t.Errorf("got %q, want %q", got, content)
		}
	}
	again, _, _ := open(t, diskcache.Config{Dir: dir})
	if got := again.Get("a"); got == nil {
		t.Error("the next process does not find it")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if logs.Len() > 0 {
		t.Error(logs)
	}
}

// TestDamagedEntryIsAMiss checks flipped bits, truncation, zeros, an empty file,
// appended bytes, and a directory in place of an entry.
func TestDamagedEntryIsAMiss(t *testing.T) {
	c, dir, logs := open(t, diskcache.Config{})
	c.Put("name", []byte("machine code"))
	file := only(t, dir)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	misses := func(what string, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := c.Get("name"); got != nil {
			t.Errorf("%s: got %q", what, got)
		}
	}
	for bit := range 8 * len(good) {
		damaged := bytes.Clone(good)
		damaged[bit/8] ^= 1 << (bit % 8)
		misses(fmt.Sprint("bit ", bit), damaged)
	}
	for n := range good {
		misses(fmt.Sprint("cut at ", n), good[:n])
		zeroed := bytes.Clone(good)
		clear(zeroed[n:])
		misses(fmt.Sprint("zeros from ", n), zeroed)
	}
	misses("one byte more", append(bytes.Clone(good), 0))
	c.Put("name", []byte("machine code"))
	if got := c.Get("name"); string(got) != "machine code" {
		t.Errorf("after damage it has %q", got)
	}
	c.Put("other", []byte("other code"))
	if err := os.Rename(file, filepath.Join(dir, "kept")); err != nil {
		t.Fatal(err)
	}
	other := otherThan(t, dir, "kept")
	if err := os.Rename(filepath.Join(dir, "kept"), other); err != nil {
		t.Fatal(err)
	}
	if got := c.Get("other"); got != nil {
		t.Errorf("the entry of another name is taken: %q", got)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if c.Get("other") != nil {
		t.Error("a directory is taken")
	}
	if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%.1000s", n, logs)
	}
}

func otherThan(t *testing.T, dir, name string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != name {
			return filepath.Join(dir, f.Name())
		}
	}
	t.Fatal(files, err)
	return ""
}

func TestUnusableDirectoryIsNoCache(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/self/none"} {
		c, _, logs := open(t, diskcache.Config{Dir: dir})
		c.Put("a", []byte("content"))
		if got := c.Get("a"); got != nil || strings.Count(logs.String(), "level=WARN") != 1 || !strings.Contains(logs.String(), "cannot use the cache directory") {
			t.Errorf("%s: got %q\n%s", dir, got, logs)
		}
	}
	if c := diskcache.Open(diskcache.Config{}); c != nil {
		t.Error("no directory is a cache")
	}
}

func TestFailedWritesAreWarnedOfOnce(t *testing.T) {
	c, dir, logs := open(t, diskcache.Config{})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil { // it must not be created again
		t.Fatal(err)
	}
	for range 3 {
		c.Put("a", []byte("content"))
		if got := c.Get("a"); got != nil {
			t.Errorf("got %q", got)
		}
	}
	if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, logs)
	}
}

func TestDirectoryIsBounded(t *testing.T) {
	const size = 20 << 10 // 24 KiB and 32 bytes with digest and overhead
	c, dir, _ := open(t, diskcache.Config{Limit: 100 << 10})
	stranger := filepath.Join(dir, "stranger.txt")
	if err := os.WriteFile(stranger, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, "new-1.moot")
	if err := os.WriteFile(unfinished, make([]byte, 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(unfinished, old, old); err != nil {
		t.Fatal(err)
	}
	age := func(minutes int) { // ages all entries, so that each use counts
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				at := info.ModTime().Add(-time.Duration(minutes) * time.Minute)
				_ = os.Chtimes(path, at, at)
			}
			return nil
		})
	}
	for i := range 10 {
		c.Put(fmt.Sprint(i), make([]byte, size))
		age(1)
		if c.Get("0") == nil {
			t.Errorf("the entry that is used most is gone after %d", i)
		}
		age(1)
	}
	total := int64(0)
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil && f.Name() != "stranger.txt" {
			total += info.Size()
		}
	}
	if total > 100<<10 || c.Get("9") == nil || c.Get("1") != nil {
		t.Errorf("%d bytes in %v", total, files)
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("a file that was not finished is there")
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Error("a file that is not an entry was removed")
	}
	c.Put("large", make([]byte, 26<<10))
	if c.Get("large") != nil {
		t.Error("one entry has more than a quarter")
	}
}

// TestEntriesFromTheFutureAreRemovedFirst checks that files with a modification time in
// the future are removed first, finished or not.
func TestEntriesFromTheFutureAreRemovedFirst(t *testing.T) {
	c, dir, _ := open(t, diskcache.Config{Limit: 100 << 10})
	c.Put("ahead", make([]byte, 20<<10))
	unfinished := filepath.Join(dir, "new-1.moot")
	if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "/*")
	for _, file := range files {
		if at := time.Now().AddDate(30, 0, 0); os.Chtimes(file, at, at) != nil {
			t.Fatal(file)
		}
	}
	for i := range 4 {
		c.Put(fmt.Sprint(i), make([]byte, 20<<10))
	}
	if c.Get("ahead") != nil || c.Get("0") == nil || c.Get("3") == nil {
		t.Errorf("of the entries, %v, %v, %v are gone", c.Get("ahead") == nil, c.Get("0") == nil, c.Get("3") == nil)
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("a file that was not finished is there")
	}
}

// TestProcessesShareADirectory checks that two caches can share a directory and nothing
// else, like two processes.
func TestProcessesShareADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var logs bytes.Buffer
	var all sync.WaitGroup
	log := slog.New(slog.NewTextHandler(&logs, nil))
	for range 4 {
		c := diskcache.Open(diskcache.Config{Dir: dir, Limit: 64 << 10, Log: log})
		all.Go(func() {
			for i := range 300 {
				name := fmt.Sprint(i % 7)
				want := bytes.Repeat([]byte(name), 8<<10)
				if got := c.Get(name); got == nil {
					c.Put(name, want)
				} else if !bytes.Equal(got, want) {
					t.Errorf("%s is %.10q", name, got)
				}
			}
		})
	}
	all.Wait()
	if logs.Len() > 0 {
		t.Errorf("%.1000s", &logs)
	}
}
