// Package files reads the files that a configuration names. It reads regular files only,
// limits their size, and gives up when the caller's context ends. A pipe, a device, a
// socket or a directory is an error, so that it cannot make the server hang.
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

// IrregularError means that a file is not a regular file.
type IrregularError struct{ Mode fs.FileMode }

// Error returns a text such as "is not a regular file but a named pipe".
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

// Read reads the regular file at path, which may be a symbolic link to it. A file of more
// than limit bytes is an error. Every error is a [fs.PathError]; it wraps an
// [IrregularError] if the file is not a regular one. Devices are not opened, because
// opening some of them has effects.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, os.Stat, os.OpenFile, nil)
}

// ReadIf is like [Read], but fails if check returns an error for the opened file. The
// error wraps the one of check.
func ReadIf(path string, limit int64, check func(fs.FileInfo) error) ([]byte, error) {
	return read(path, limit, os.Stat, os.OpenFile, check)
}

// ReadIn is like [Read] for a file in a directory. name is relative to dir. Neither
// name nor a symbolic link on its path may lead out of dir; dir itself may be a
// symbolic link.
func ReadIn(dir, name string, limit int64) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrOutside}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return read(name, limit, root.Stat, root.OpenFile, nil)
}

// ErrOutside means that a name leads out of its directory. If a symbolic link leads
// out, the error is one of package os.
var ErrOutside = errors.New("is outside of its directory")

func read(path string, limit int64, stat func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error), check func(fs.FileInfo) error) ([]byte, error) {
	info, err := stat(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: reason(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: IrregularError{info.Mode()}}
	}
	// The file may have been replaced since stat: the open does not block, and the mode
	// is checked again.
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	tooLarge := &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("the file is larger than %s", size(limit))}
	switch {
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "open", Path: path, Err: IrregularError{info.Mode()}}
	case info.Size() > limit:
		return nil, tooLarge
	}
	if check != nil {
		if err := check(info); err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit { // the file grows, or is in /proc, where sizes are 0
		return nil, tooLarge
	}
	return text, err
}

// reason returns an error of package os without its operation and path.
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
