//go:build unix

package diskcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links on the way to a directory, as the kernel does.
const maxLinks = 40

// trusted checks that nobody but this user and root can change what the absolute path leads
// to: each directory and symbolic link on the way belongs to one of the two, and others can
// write to a directory only where it is sticky and leads on.
func trusted(path string) error {
	links := 0
	at, rest := "/", strings.Split(filepath.Clean(path), "/")
	for {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if err := own(info); err != nil {
			return fmt.Errorf("%s %w", at, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return fmt.Errorf("%s: too many symbolic links", path)
			}
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			if !filepath.IsAbs(target) {
				target = filepath.Dir(at) + "/" + target // not cleaned: .. is of what a link leads to
			}
			at, rest = "/", append(strings.Split(target, "/"), rest...)
			continue
		}
		for len(rest) > 0 && (rest[0] == "" || rest[0] == ".") {
			rest = rest[1:]
		}
		if err := closed(at, info, len(rest) == 0); err != nil || len(rest) == 0 {
			return err
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// private checks that nobody but this user and root can change an entry, or kept it open to
// do so: a directory that is closed now may have been open when the entry was made.
func private(info fs.FileInfo) error {
	if err := own(info); err != nil || info.Mode().Perm()&0o022 == 0 {
		return err
	}
	return errors.New("others can write to it")
}

// own checks who a file belongs to.
func own(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("has an owner who is not known")
	}
	if me := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != me {
		return fmt.Errorf("belongs to user %d, who could change what is in the cache: use a directory of user %d", stat.Uid, me)
	}
	return nil
}

// closed checks who can write to a directory. In a sticky one, others can change only what
// is theirs; the last one of the way may not even have files of others.
func closed(path string, info fs.FileInfo, last bool) error {
	if info.Mode().Perm()&0o022 == 0 || info.Mode()&fs.ModeSticky != 0 && !last {
		return nil
	}
	return fmt.Errorf("others can write to %s: chmod go-w it, or use another directory", path)
}
