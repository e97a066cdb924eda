// Package files reads the files that a configuration names: regular files only, of
// bounded size, and never for longer than the caller waits. A pipe, a device, a socket or
// a directory in a configuration is an error, not a server that hangs.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// IrregularError says what a file is that is not a regular one.
type IrregularError struct{ Mode fs.FileMode }

// Error is "is not a regular file but a named pipe".
func (e IrregularError) Error() string { return "is not a regular file but " + kind(e.Mode) }

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// Read reads the regular file at path, or the one that a symbolic link at path leads to.
// A larger one than most bytes is an error. Every error is a [fs.PathError]; the error in
// it is an [IrregularError] where path is something else. A device is not opened: opening
// some has effects.
func Read(path string, most int64) ([]byte, error) {
	return read(path, most, os.Stat, os.OpenFile, nil)
}

// ReadIf is [Read] of a file that check accepts, by what it is when it is open. The error
// wraps that of check.
func ReadIf(path string, most int64, check func(fs.FileInfo) error) ([]byte, error) {
	return read(path, most, os.Stat, os.OpenFile, check)
}

// ReadIn is [Read] of a file in a directory. dir may be a symbolic link; name is relative
// to it, and neither name nor a symbolic link in it leads out of dir.
func ReadIn(dir, name string, most int64) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrOutside}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return read(name, most, root.Stat, root.OpenFile, nil)
}

// ErrOutside is the error of a name that leads out of its directory. A symbolic link that
// does fails with an error of package os.
var ErrOutside = errors.New("leads out of its directory")

func read(path string, most int64, stat func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error), check func(fs.FileInfo) error) ([]byte, error) {
	info, err := stat(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: reason(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: IrregularError{info.Mode()}}
	}
	// Another file may be there by now: one that cannot be waited for, and is looked at again.
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	tooLarge := &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("the file is larger than %s", size(most))}
	switch {
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "open", Path: path, Err: IrregularError{info.Mode()}}
	case info.Size() > most:
		return nil, tooLarge
	}
	if check != nil {
		if err := check(info); err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most { // it grows, or is one of /proc, which have no size
		return nil, tooLarge
	}
	return text, err
}

// reason is an error of package os without its operation and path.
func reason(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}

func size(n int64) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
