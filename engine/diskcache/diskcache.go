// Package diskcache keeps bytes by name in a directory: what can be made again, and takes
// long to make.
//
// Each entry is a file that begins with the SHA-256 of its name and its content. An entry
// that is empty, cut, zeroed, renamed or has one bit changed is a miss, and so is every
// error of the file system: a cache can make its user slower, and cannot make it fail. The
// digest is no signature: the directory, all of its parents and each entry must belong to this
// user or to root, and nobody else may be able to write to them. Otherwise there is no cache,
// or the entry is a miss. A directory that is removed is made again, and checked again.
//
// Several processes may share a directory. Entries appear whole or not at all, and those
// that were used least recently go when the directory is over its limit. A Put costs one
// file; the directory is listed once for each quarter of the limit that was written.
package diskcache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/files"
)

// DefaultLimit bounds a directory, in bytes.
const DefaultLimit = 2 << 30

const (
	suffix   = ".moot"          // of all files of a cache: other files stay as they are
	block    = 4 << 10          // what a file takes besides its content
	leftover = 10 * time.Minute // after which a file that was not finished never will be
)

// Config says where a cache is.
type Config struct {
	Dir   string       // made, for this user alone, where it does not exist; "": nothing is kept
	Limit int64        // bytes of all entries; the largest has a quarter; 0: DefaultLimit
	Log   *slog.Logger // gets one warning about each of: the directory, a damaged entry, a failed write; nil: nothing is logged
}

// Cache is a directory of entries. Its methods may be called concurrently; those of a nil
// Cache keep nothing.
type Cache struct {
	dir   string
	limit int64
	log   *slog.Logger

	damaged, unwritten atomic.Bool // was warned of

	mu     sync.Mutex
	spare  int64 // bytes that may be written before the directory is listed again
	listed bool
}

// Open gives the cache in a directory, or nil where there is none: Dir is "", or cannot be
// used, of which there is a warning.
func Open(cfg Config) *Cache {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" {
		return nil
	}
	dir, err := prepare(cfg.Dir)
	if err != nil {
		cfg.Log.Warn("no cache on disk: starts and reloads take longer", "dir", cfg.Dir, "error", err)
		return nil
	}
	return &Cache{dir: dir, limit: cmp.Or(cfg.Limit, DefaultLimit), log: cfg.Log}
}

// prepare makes the directory where it does not exist, and checks who can write to it.
func prepare(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	return dir, trusted(dir)
}

func (c *Cache) path(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:])+suffix)
}

// seal is the digest of an entry. A name cannot run into the content: its own digest stands
// for it.
func seal(name string, content []byte) [sha256.Size]byte {
	of := sha256.Sum256([]byte(name))
	h := sha256.New()
	h.Write(of[:])
	h.Write(content)
	return [sha256.Size]byte(h.Sum(nil))
}

// Get gives what Put was given for the name, or nil. The caller owns it.
func (c *Cache) Get(name string) []byte {
	if c == nil {
		return nil
	}
	path := c.path(name)
	content, err := c.read(name, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		c.tell(&c.damaged, "an entry of the cache is damaged, or not of this user: it is made again", path, err)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // without it the entry goes earlier
	return content
}

var errDigest = errors.New("it is not what was written")

func (c *Cache) read(name, path string) ([]byte, error) {
	entry, err := files.ReadIf(path, c.limit/4+sha256.Size, private)
	if err != nil {
		return nil, err
	}
	if len(entry) < sha256.Size {
		return nil, errDigest
	}
	content := entry[sha256.Size:]
	if want := seal(name, content); !bytes.Equal(entry[:sha256.Size], want[:]) {
		return nil, errDigest
	}
	return content, nil
}

// Put keeps content under a name, in place of what was there.
func (c *Cache) Put(name string, content []byte) {
	if c == nil || int64(len(content)) > c.limit/4 {
		return
	}
	path := c.path(name)
	c.fit(int64(len(content)) + sha256.Size + block)
	if err := c.write(path, name, content); err != nil {
		c.tell(&c.unwritten, "the cache cannot be written to: starts and reloads take longer", path, err)
	}
}

// write puts a whole file in place, or none. It is not synced: what a crash leaves of it is
// a miss.
func (c *Cache) write(path, name string, content []byte) error {
	file, err := os.CreateTemp(c.dir, "new-*"+suffix)
	if errors.Is(err, fs.ErrNotExist) { // it was cleaned away
		if _, err := prepare(c.dir); err != nil {
			_ = os.Remove(c.dir) // empty: the next write is not to find it
			return err
		}
		file, err = os.CreateTemp(c.dir, "new-*"+suffix)
	}
	if err != nil {
		return err
	}
	sum := seal(name, content)
	_, err = file.Write(sum[:])
	if err == nil {
		_, err = file.Write(content)
	}
	if err = cmp.Or(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// tell warns once; what is more of the same is for those who look for it.
func (c *Cache) tell(told *atomic.Bool, message, path string, err error) {
	level := slog.LevelDebug
	if told.CompareAndSwap(false, true) {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, message, "file", path, "error", err)
}

// fit makes room for size bytes.
func (c *Cache) fit(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare -= size; c.listed && c.spare >= 0 {
		return
	}
	total := c.trim(c.limit - size)
	c.listed, c.spare = true, min(c.limit/4, c.limit-total-size)
}

// trim removes the entries that were used least recently until the rest has at most limit
// bytes, and files that were never finished. It gives how many bytes are left.
func (c *Cache) trim(limit int64) (total int64) {
	entries, _ := os.ReadDir(c.dir) // those that could be read
	var found []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !strings.HasSuffix(info.Name(), suffix) || !info.Mode().IsRegular() {
			continue
		}
		if !strings.HasPrefix(info.Name(), "new-") {
			found, total = append(found, info), total+info.Size()+block
		} else if time.Since(info.ModTime()).Abs() > leftover {
			_ = os.Remove(filepath.Join(c.dir, info.Name()))
		}
	}
	now := time.Now().Add(leftover)
	used := func(f fs.FileInfo) time.Time { // a clock that was wrong keeps no entry for ever
		if f.ModTime().After(now) {
			return time.Time{}
		}
		return f.ModTime()
	}
	slices.SortFunc(found, func(a, b fs.FileInfo) int { return used(a).Compare(used(b)) })
	for _, file := range found {
		if total <= limit {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, file.Name())); err == nil || errors.Is(err, fs.ErrNotExist) {
			total -= file.Size() + block
		}
	}
	return total
}
