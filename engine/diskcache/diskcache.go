// Package diskcache stores bytes by name in a directory. It is for content that can be
// made again, but takes long to make.
//
// Each entry is a file that begins with a SHA-256 of its name and content. A damaged
// entry is a miss, and so is every error of the file system: a cache may slow its
// caller down, but never makes it fail. The digest does not authenticate the content.
// Therefore the directory, its parents and each entry must belong to this user or to
// root, and must not be writable by others. If a directory does not meet this, the
// cache is off; if an entry does not, it is a miss. A directory that was removed is
// created and checked again.
//
// Several processes may share a directory. Entries are written atomically. When the
// directory exceeds its limit, the least recently used entries are removed. A Put
// writes one file, and lists the directory once for each quarter of the limit that was
// written.
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

// DefaultLimit is the default limit of a directory, in bytes.
const DefaultLimit = 2 << 30

const (
	suffix     = ".moot"          // of all files of a cache; other files are not touched
	overhead   = 4 << 10          // space of a file besides its content, in bytes
	staleAfter = 10 * time.Minute // age at which an unfinished file is removed
)

// Config configures a cache.
type Config struct {
	Dir   string       // created with mode 0700 if it does not exist; "": no cache
	Limit int64        // of all entries, in bytes; one entry may have a quarter of it; 0: DefaultLimit
	Log   *slog.Logger // gets one warning of each kind: directory, damaged entry, failed write; nil: nothing is logged
}

// Cache is a directory of entries. It is safe for concurrent use. A nil Cache stores
// nothing.
type Cache struct {
	dir   string
	limit int64
	log   *slog.Logger

	warnedDamaged, warnedWrite atomic.Bool

	mu     sync.Mutex
	spare  int64 // bytes that may be written before the directory is listed again
	listed bool
}

// Open returns the cache in a directory. It returns nil if Dir is "", and, with a warning
// in the log, if the directory cannot be used.
func Open(cfg Config) *Cache {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" {
		return nil
	}
	dir, err := prepare(cfg.Dir)
	if err != nil {
		cfg.Log.Warn("cannot use the cache directory; starts and reloads take longer", "dir", cfg.Dir, "error", err)
		return nil
	}
	return &Cache{dir: dir, limit: cmp.Or(cfg.Limit, DefaultLimit), log: cfg.Log}
}

// prepare creates the directory if it does not exist, and checks who can write to it.
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

// seal returns the digest of an entry. It hashes the digest of the name instead of the
// name, so that two different pairs of name and content never have the same input.
func seal(name string, content []byte) [sha256.Size]byte {
	of := sha256.Sum256([]byte(name))
	h := sha256.New()
	h.Write(of[:])
	h.Write(content)
	return [sha256.Size]byte(h.Sum(nil))
}

// Get returns the content that was stored under a name; nil if there is none. The caller
// owns it.
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
		c.warnOnce(&c.warnedDamaged, "ignored a cache entry that is damaged or writable by others", path, err)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // if this fails, the entry is removed earlier
	return content
}

var errDigest = errors.New("the digest does not match the content")

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

// Put stores content under a name and replaces the entry with that name. It does nothing
// if content is larger than a quarter of the limit, and does not keep the slice.
func (c *Cache) Put(name string, content []byte) {
	if c == nil || int64(len(content)) > c.limit/4 {
		return
	}
	path := c.path(name)
	c.fit(int64(len(content)) + sha256.Size + overhead)
	if err := c.write(path, name, content); err != nil {
		c.warnOnce(&c.warnedWrite, "cannot write to the cache; starts and reloads take longer", path, err)
	}
}

// write creates a file atomically. It does not sync it: an incomplete file after a crash
// is a miss.
func (c *Cache) write(path, name string, content []byte) error {
	file, err := os.CreateTemp(c.dir, "new-*"+suffix)
	if errors.Is(err, fs.ErrNotExist) { // the directory was removed
		if _, err := prepare(c.dir); err != nil {
			_ = os.Remove(c.dir) // otherwise the next write would use it without a check
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

// warnOnce logs a warning the first time, and later ones at level debug.
func (c *Cache) warnOnce(warned *atomic.Bool, message, path string, err error) {
	level := slog.LevelDebug
	if warned.CompareAndSwap(false, true) {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, message, "file", path, "error", err)
}

// fit removes entries until size more bytes fit.
func (c *Cache) fit(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare -= size; c.listed && c.spare >= 0 {
		return
	}
	total := c.trim(c.limit - size)
	c.listed, c.spare = true, min(c.limit/4, c.limit-total-size)
}

// trim removes unfinished files, and the least recently used entries until the
// remaining ones have at most limit bytes. It returns the bytes of the remaining
// entries.
func (c *Cache) trim(limit int64) (total int64) {
	entries, _ := os.ReadDir(c.dir) // on an error, the entries that could be read
	var found []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !strings.HasSuffix(info.Name(), suffix) || !info.Mode().IsRegular() {
			continue
		}
		if !strings.HasPrefix(info.Name(), "new-") {
			found, total = append(found, info), total+info.Size()+overhead
		} else if time.Since(info.ModTime()).Abs() > staleAfter {
			_ = os.Remove(filepath.Join(c.dir, info.Name()))
		}
	}
	now := time.Now().Add(staleAfter)
	used := func(f fs.FileInfo) time.Time { // an entry with a time in the future goes first
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
			total -= file.Size() + overhead
		}
	}
	return total
}
