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

// maxLinks limits the symbolic links on the way to a directory, as the kernel does.
const maxLinks = 40

// trusted checks that only this user and root can change what an absolute path refers
// to. Each directory and symbolic link on the path must belong to one of the two.
// Others may write to a directory only if it is sticky and not the last one.
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
				target = filepath.Dir(at) + "/" + target // not cleaned: ".." after a link applies to its target
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

// private checks that only this user and root can write to an entry. The check of the
// directory is not enough, because others may have been able to write to the directory
// earlier.
func private(info fs.FileInfo) error {
	if err := own(info); err != nil || info.Mode().Perm()&0o022 == 0 {
		return err
	}
	return errors.New("other users can write to it")
}

// own checks that a file belongs to this user or to root.
func own(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("has an unknown owner")
	}
	if me := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != me {
		return fmt.Errorf("belongs to user %d, who could change the cache: use a directory of user %d", stat.Uid, me)
	}
	return nil
}

// closed checks that other users cannot write to a directory. It accepts a sticky
// directory on the path, because others can change only their own files in it. last
// marks the directory of the cache itself.
func closed(path string, info fs.FileInfo, last bool) error {
	if info.Mode().Perm()&0o022 == 0 || info.Mode()&fs.ModeSticky != 0 && !last {
		return nil
	}
	return fmt.Errorf("other users can write to %s: run chmod go-w, or use another directory", path)
}
