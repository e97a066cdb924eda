//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package datafile

import "os"

// lockingMode keeps all other programs away from the file.
const lockingMode = "EXCLUSIVE"

// lockFile opens a file, which it creates if needed.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
