//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package datafile

import (
	"errors"
	"os"
	"syscall"
)

// lockingMode lets other programs read the file. The lock of the directory keeps other servers away.
const lockingMode = "NORMAL"

// lockFile locks a file, which it creates if needed, until the result is closed or the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // the first error has the cause
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}
