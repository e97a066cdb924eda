//go:build unix

package diskcache_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mootchat/moot/engine/diskcache"
)

// TestDirectoryWritableByOthersIsNoCache checks that no cache is opened if another user
// owns, or can write to, a directory on its path: that user could replace cached code.
func TestDirectoryWritableByOthersIsNoCache(t *testing.T) {
	cases := map[string]struct {
		prepare func(t *testing.T, root string) (dir string)
		refused string // "": accepted
	}{
		"plain": {func(t *testing.T, root string) string { return filepath.Join(root, "a", "b") }, ""},
		"sticky": {func(t *testing.T, root string) string {
			return filepath.Join(mode(t, root, "tmp", 0o777|os.ModeSticky), "b")
		}, ""},
		"link": {func(t *testing.T, root string) string {
			return filepath.Join(link(t, mode(t, root, "real", 0o755), filepath.Join(root, "link")), "b")
		}, ""},
		"relative link": {func(t *testing.T, root string) string {
			mode(t, root, "real", 0o755)
			return link(t, "./x/../real", filepath.Join(mode(t, root, "x", 0o755), "..", "link"))
		}, ""},
		"itself":          {func(t *testing.T, root string) string { return mode(t, root, "a", 0o777) }, "chmod go-w"},
		"itself by group": {func(t *testing.T, root string) string { return mode(t, root, "a", 0o770) }, "chmod go-w"},
		"itself sticky":   {func(t *testing.T, root string) string { return mode(t, root, "a", 0o777|os.ModeSticky) }, "chmod go-w"},
		"parent":          {func(t *testing.T, root string) string { return filepath.Join(mode(t, root, "a", 0o777), "b", "c") }, "chmod go-w"},
		"parent by group": {func(t *testing.T, root string) string { return filepath.Join(mode(t, root, "a", 0o770), "b") }, "chmod go-w"},
		"where a link leads": {func(t *testing.T, root string) string {
			open := mode(t, root, "open", 0o777)
			mode(t, open, "real", 0o755)
			return link(t, filepath.Join(open, "real"), filepath.Join(root, "link"))
		}, "chmod go-w"},
		"a link on the way of a link": {func(t *testing.T, root string) string {
			hop := link(t, mode(t, root, "real", 0o755), filepath.Join(mode(t, root, "open", 0o777), "hop"))
			return link(t, hop, filepath.Join(root, "link"))
		}, "chmod go-w"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, _, logs := open(t, diskcache.Config{Dir: c.prepare(t, t.TempDir())})
			if (cache != nil) != (c.refused == "") || !strings.Contains(logs.String(), c.refused) {
				t.Errorf("%v:\n%s", cache != nil, logs)
			}
		})
	}
	if os.Geteuid() != 0 {
		return // only root can change owners
	}
	for _, what := range []string{"a", "a/b"} {
		root := t.TempDir()
		dir := mode(t, root, "a/b", 0o700)
		if err := os.Chown(filepath.Join(root, what), 4711, -1); err != nil {
			t.Fatal(err)
		}
		if cache, _, logs := open(t, diskcache.Config{Dir: dir}); cache != nil || !strings.Contains(logs.String(), "belongs to user 4711") {
			t.Errorf("%s: %v\n%s", what, cache != nil, logs)
		}
	}
}

func mode(t *testing.T, root, name string, m os.FileMode) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t *testing.T, to, at string) string {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestEntryWritableByOthersIsAMiss checks that an entry is a miss, and is replaced, if
// others wrote it before the directory was closed to them, even if its digest is
// correct.
func TestEntryWritableByOthersIsAMiss(t *testing.T) {
	spoil := map[string]func(file string) error{
		"others can write":    func(file string) error { return os.Chmod(file, 0o602) },
		"the group can write": func(file string) error { return os.Chmod(file, 0o620) },
	}
	if os.Geteuid() == 0 { // only root can change owners
		spoil["belongs to user 4321"] = func(file string) error { return os.Chown(file, 4321, -1) }
		spoil["link to a file of user 4321"] = func(file string) error {
			return errors.Join(os.Chown(file, 4321, -1), os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		}
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			c, dir, logs := open(t, diskcache.Config{})
			c.Put("name", []byte("machine code"))
			if err := spoil(only(t, dir)); err != nil {
				t.Fatal(err)
			}
			if got := c.Get("name"); got != nil || strings.Count(logs.String(), "level=WARN") != 1 {
				t.Errorf("got %q\n%s", got, logs)
			}
			c.Put("name", []byte("machine code"))
			if got := c.Get("name"); string(got) != "machine code" {
				t.Errorf("it is not made again: %q", got)
			}
		})
	}
}

// TestRemovedDirectoryIsCreatedAgain checks that a cache creates its directory again
// after a cleaner of temporary files has removed it, but not if other users can write
// to the parent.
func TestRemovedDirectoryIsCreatedAgain(t *testing.T) {
	c, dir, logs := open(t, diskcache.Config{})
	c.Put("name", []byte("content"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := c.Get("name"); got != nil {
		t.Errorf("got %q", got)
	}
	c.Put("name", []byte("content"))
	if got := c.Get("name"); string(got) != "content" || logs.Len() > 0 {
		t.Errorf("got %q\n%s", got, logs)
	}
	parent := filepath.Dir(dir)
	if err := errors.Join(os.RemoveAll(dir), os.Chmod(parent, 0o777)); err != nil {
		t.Fatal(err)
	}
	c.Put("name", []byte("content"))
	if got := c.Get("name"); got != nil || !strings.Contains(logs.String(), "other users can write") {
		t.Errorf("got %q\n%s", got, logs)
	}
}

// TestFullDiskOnlyWarns uses a limit of the file size, which acts like a full disk. A
// separate process sets the limit, because it cannot be raised again.
func TestFullDiskOnlyWarns(t *testing.T) {
	if dir := os.Getenv("LIMITED_CACHE"); dir != "" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
			t.Fatal(err)
		}
		c, _, logs := open(t, diskcache.Config{Dir: dir})
		c.Put("large", make([]byte, 2000))
		c.Put("small", []byte("content"))
		if large, small := c.Get("large"), c.Get("small"); large != nil || string(small) != "content" || strings.Count(logs.String(), "level=WARN") != 1 {
			t.Errorf("%d bytes, %q\n%s", len(large), small, logs)
		}
		only(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDiskOnlyWarns$")
	cmd.Env = append(os.Environ(), "LIMITED_CACHE="+filepath.Join(t.TempDir(), "cache"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPipeIsAMiss checks that a pipe without a writer is a miss: a blocking open of it
// would hang.
func TestPipeIsAMiss(t *testing.T) {
	c, dir, logs := open(t, diskcache.Config{})
	c.Put("name", []byte("content"))
	file := only(t, dir)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := c.Get("name"); got != nil || strings.Count(logs.String(), "level=WARN") != 1 {
		t.Errorf("got %q\n%s", got, logs)
	}
	c.Put("name", []byte("content"))
	if got := c.Get("name"); string(got) != "content" {
		t.Errorf("got %q", got)
	}
}
