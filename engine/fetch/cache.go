package fetch

import (
	"cmp"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// cache keeps files by their digests, in a folder that several processes may share. It
// believes nothing that is there: what is not what its name says is as if it were not
// there. A folder that cannot be used makes fetching slower, and nothing fail.
type cache struct {
	dir   string // "": nothing is kept
	limit int64
	max   int64
	log   *slog.Logger

	trimming sync.Mutex
}

func (c *cache) path(d digest.Digest) string {
	return filepath.Join(c.dir, d.Algorithm().String()+"-"+d.Encoded())
}

// get is the content with that digest, nil if it is not kept. d is valid.
func (c *cache) get(d digest.Digest) []byte {
	if c.dir == "" {
		return nil
	}
	file, err := os.Open(c.path(d))
	if err != nil {
		return nil
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, c.max+1))
	if err != nil || d.Algorithm().FromBytes(content) != d {
		c.log.Warn("a file that was kept is damaged: it is fetched again", "file", file.Name(), "error", err)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(file.Name(), now, now) // it is only that it goes earlier
	return content
}

// put keeps content, whose digest is d.
func (c *cache) put(d digest.Digest, content []byte) {
	if c.dir == "" {
		return
	}
	if err := c.write(c.path(d), content); err != nil {
		c.log.Warn("a file that was fetched cannot be kept: it is fetched again at the next load", "error", err)
		return
	}
	c.trim()
}

// write puts a whole file in place, or none.
func (c *cache) write(path string, content []byte) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = cmp.Or(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// trim removes what was not asked for longest until the rest fits, also files that a
// process left half written.
func (c *cache) trim() {
	c.trimming.Lock()
	defer c.trimming.Unlock()
	entries, _ := os.ReadDir(c.dir) // as many as could be read
	var files []os.FileInfo
	var total int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			files, total = append(files, info), total+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, file := range files {
		if total <= c.limit {
			return
		}
		if os.Remove(filepath.Join(c.dir, file.Name())) == nil {
			total -= file.Size()
		}
	}
}
