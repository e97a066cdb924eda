//go:build unix

package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("file"), []byte("text"), 0o600))
	must(t, os.Symlink("file", at("link")))
	must(t, syscall.Mkfifo(at("pipe"), 0o600))
	must(t, os.Symlink("pipe", at("linkToPipe")))
	must(t, os.Mkdir(at("dir"), 0o700))
	must(t, os.WriteFile(at("sparse"), nil, 0o600))
	must(t, os.Truncate(at("sparse"), 1<<40))
	socket, err := net.Listen("unix", at("socket"))
	must(t, err)
	defer socket.Close()
	for path, want := range map[string]string{
		at("file"): "", at("link"): "",
		at("pipe"):       "is not a regular file but a named pipe",
		at("linkToPipe"): "is not a regular file but a named pipe",
		at("socket"):     "is not a regular file but a socket",
		at("dir"):        "is not a regular file but a directory",
		"/dev/zero":      "is not a regular file but a device",
		"/dev/tty":       "is not a regular file but a device",
		"/dev/ptmx":      "is not a regular file but a device",
		at("sparse"):     "the file is larger than 1MiB",
		at("none"):       "no such file or directory",
	} {
		for how, read := range map[string]func() ([]byte, error){
			"Read": func() ([]byte, error) { return files.Read(path, 1<<20) },
			"ReadIn": func() ([]byte, error) {
				return files.ReadIn(filepath.Dir(path), filepath.Base(path), 1<<20)
			},
			"Waiter": func() ([]byte, error) { return new(files.Waiter).Read(t.Context(), path, 1<<20) },
		} {
			text, err := read()
			of, _ := errors.AsType[*fs.PathError](err)
			switch {
			case want == "" && (err != nil || string(text) != "text"):
				t.Errorf("%s of %s gives %q, %v", how, path, text, err)
			case want != "" && (of == nil || of.Err.Error() != want):
				t.Errorf("%s of %s fails with %v, want %s", how, path, err, want)
			}
		}
	}
}

func TestFileSizeIsLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for size, want := range map[int]bool{0: true, 1000: true, 1001: false} {
		must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600))
		if text, err := files.Read(path, 1000); (err == nil) != want || want && len(text) != size {
			t.Errorf("%d bytes: %d, %v", size, len(text), err)
		}
	}
	// Files of /proc have size 0.
	if text, err := files.Read("/proc/self/status", 1<<20); err != nil || len(text) == 0 {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := files.Read("/proc/self/status", 10); err == nil {
		t.Errorf("%q of a file that does not tell its size", text)
	}
}

func TestReadInStaysInItsDirectory(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	must(t, os.MkdirAll(filepath.Join(dir, "..data"), 0o700))
	must(t, os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "..data", "token"), []byte("own"), 0o600))
	must(t, os.Symlink("..data/token", filepath.Join(dir, "token"))) // as in a Kubernetes volume
	must(t, os.Symlink("../secret", filepath.Join(dir, "up")))
	must(t, os.Symlink(filepath.Join(top, "secret"), filepath.Join(dir, "absolute")))
	must(t, os.Symlink("..", filepath.Join(dir, "parent")))
	must(t, os.Symlink("/proc/self/fd", filepath.Join(dir, "fd")))
	must(t, os.Symlink("dir", filepath.Join(top, "alias")))
	for _, in := range []string{dir, filepath.Join(top, "alias")} {
		for _, name := range []string{"../secret", "up", "absolute", "parent/secret", "fd/0", "/etc/hostname", "..data/../../secret", ".", "", "..", "token/../../secret"} {
			if text, err := files.ReadIn(in, name, 1000); err == nil {
				t.Errorf("%q gives %q", name, text)
			}
		}
		for _, name := range []string{"token", "..data/token", "./token"} {
			if text, err := files.ReadIn(in, name, 1000); err != nil || string(text) != "own" {
				t.Errorf("%q gives %q, %v", name, text, err)
			}
		}
	}
}

// TestSwappedLinkDoesNotLeadOut checks reads of a file that is repeatedly replaced by a
// link out of the directory.
func TestSwappedLinkDoesNotLeadOut(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "dir")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600))
	name, done := filepath.Join(dir, "file"), make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			next := filepath.Join(dir, fmt.Sprint("next", i))
			switch i % 3 {
			case 0:
				_ = os.WriteFile(next, []byte("own"), 0o600)
			case 1:
				_ = os.Symlink("../secret", next)
			default:
				_ = syscall.Mkfifo(next, 0o600)
			}
			_ = os.Rename(next, name)
		}
	}()
	for {
		if text, err := files.ReadIn(dir, "file", 100); err == nil && string(text) != "own" {
			t.Fatalf("read %q", text)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestHangingCallIsAbandonedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w files.Waiter
		answer, cleaned := make(chan struct{}), ""
		hang := func() (string, error) { <-answer; return "late", nil }
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		waiting, end := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer end()
		if _, err := files.Wait(waiting, &w, "a", hang, func(s string) { cleaned = s }); !errors.Is(err, files.ErrHangs) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("got %v", err)
		}
		if _, err := files.Wait(ctx, &w, "b", hang, nil); err == nil || err.Error() != "enough" {
			t.Errorf("with an ended context: %v", err)
		}
		again := func() (string, error) { return "again", nil }
		for range 3 { // the name may now refer to another file
			if got, err := files.Wait(t.Context(), &w, "a", again, nil); got != "again" || err != nil {
				t.Errorf("the same call again: %q, %v", got, err)
			}
			soon, end := context.WithTimeout(t.Context(), time.Second)
			defer end()
			if _, err := files.Wait(soon, &w, "a", hang, nil); !errors.Is(err, files.ErrHangs) || w.Hanging("a") == nil || w.Hanging("b") != nil {
				t.Errorf("got %v, %v, %v", err, w.Hanging("a"), w.Hanging("b"))
			}
		}
		if _, err := files.Wait(t.Context(), &w, "a", again, nil); err == nil || !strings.Contains(err.Error(), "still hangs") {
			t.Errorf("the same call again: %v", err)
		}
		if got, err := files.Wait(t.Context(), &w, "b", again, nil); got != "again" || err != nil {
			t.Errorf("another call: %q, %v", got, err)
		}
		close(answer)
		synctest.Wait()
		if got, err := files.Wait(t.Context(), &w, "a", again, nil); got != "again" || err != nil || cleaned != "late" {
			t.Errorf("after it has returned: %q, %v, cleaned %q", got, err, cleaned)
		}
	})
}

func TestHangingCallsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w files.Waiter
		answer, hanging := make(chan struct{}), 0
		for i := range 100 {
			ctx, end := context.WithTimeout(t.Context(), time.Second)
			defer end()
			_, err := files.Wait(ctx, &w, fmt.Sprint(i), func() (int, error) { hanging++; <-answer; return 0, nil }, nil)
			if !errors.Is(err, files.ErrHangs) {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if hanging != 32 {
			t.Errorf("%d calls hang", hanging)
		}
		close(answer)
	})
}
