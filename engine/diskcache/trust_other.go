//go:build !unix

package diskcache

import "io/fs"

// trusted does not know the access lists of Windows: the user's own cache directory, which
// is the default, is the user's alone there.
func trusted(string) error { return nil }

// private is of an entry what trusted is of a directory.
func private(fs.FileInfo) error { return nil }
