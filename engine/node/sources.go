package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	outside "github.com/mootchat/moot/engine/ask"
	askweb "github.com/mootchat/moot/engine/ask/web"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/fetch"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/guests/builtin"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

const (
	fetchTime = 30 * time.Second // for all modules of a load; shorter than the wait of API clients
	fileTime  = 5 * time.Second  // for one file of a module or a key set
)

// sources reads and fetches modules, and has the cache on disk. All loads of a node share one, so
// that a file system that does not answer is counted once.
type sources struct {
	disk    files.Waiter
	web     *fetch.Fetcher
	cache   *diskcache.Cache
	scripts *script.Compiler
	asks    *askweb.Client
	log     *slog.Logger
	asking  func(ctx context.Context, tenant, name string) (context.Context, func(outside.Answer, error)) // see host.Config

	mu   sync.Mutex            // a load that was given up may still read
	read map[string]readModule // files of modules, by path
}

// readModule is a file of a module when a load has read it.
type readModule struct {
	stamp files.Stamp
	sum   [sha256.Size]byte // of the content; zero: it was not read
}

// newSources makes the sources of a configuration with the setting "cache".
func newSources(cache config.Path, log *slog.Logger) *sources {
	kept := OpenCache(cache, log)
	return &sources{web: fetch.New(fetch.Config{Max: host.MaxModule, Cache: kept}), cache: kept,
		scripts: script.New(script.Config{Command: script.Self(), Cache: kept}), asks: askweb.New(askweb.Limits{}), log: log}
}

// moduleOf returns a module that is read or fetched when it is opened, unless ctx has ended.
func moduleOf(ctx context.Context, name string, m config.Module, from *sources, networks []netip.Prefix) host.Module {
	web := from.web.WithPolicy(fetch.Policy{Restricted: m.Included, Networks: networks})
	module := host.Module{Name: name, Where: fmt.Sprintf("%s: modules.%s", m.Pos, name), SHA256: m.SHA256}
	switch {
	case m.Builtin != "":
		module.File = "builtin " + m.Builtin
		module.Open = opener(func() ([]byte, error) { return builtin.Wasm(m.Builtin) })
	case m.URL != "":
		module.File = m.URL
		if u, err := url.Parse(m.URL); err == nil && script.Is(u.Path) {
			module.Script = path.Base(u.Path)
		}
		module.Open = opener(func() ([]byte, error) { return web.URL(ctx, m.URL, m.SHA256) })
	case m.OCI != "":
		module.File = m.OCI
		module.Open = opener(func() ([]byte, error) { return web.OCI(ctx, m.OCI, m.SHA256) })
	default:
		file := cmp.Or(m.Script, m.File)
		module.File, module.Script = file.Written, scriptName(m.Script)
		module.Open = opener(func() ([]byte, error) { return from.file(ctx, file) })
	}
	return module
}

// known sets Known of the modules whose files have not changed since a load has read them, and remembers the digests of those that
// this load reads.
func (s *sources) known(ctx context.Context, cfg *config.Config, modules []host.Module) {
	var paths []string
	var named []*host.Module
	for i := range modules {
		if path := cfg.Modules[modules[i].Name].File.Absolute; path != "" {
			paths, named = append(paths, path), append(named, &modules[i])
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fileTime, fmt.Errorf("the files of modules were not found within %v", fileTime))
	defer cancel()
	stamps, now := s.disk.Stamps(ctx, paths), make(map[string]readModule, len(paths))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, stamp := range stamps {
		if stamp == (files.Stamp{}) {
			continue
		}
		before := s.read[paths[i]]
		if before.stamp != stamp {
			before = readModule{stamp: stamp}
		}
		now[paths[i]] = before
		named[i].Known = before.sum
		named[i].Digested = func(sum [sha256.Size]byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			now[paths[i]] = readModule{stamp, sum}
		}
	}
	s.read = now
}

// scriptName returns the name of a script for messages. Its extension shows the language.
func scriptName(p config.Path) string {
	if ext := filepath.Ext(p.Absolute); filepath.Ext(p.Written) != ext {
		return p.Written + ext // the extension is part of a value of ${...}
	}
	return p.Written
}

// file reads the file of a module.
func (s *sources) file(ctx context.Context, path config.Path) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fileTime, fmt.Errorf("it was not read within %v", fileTime))
	defer cancel()
	var content []byte
	var err error
	if path.Within == "" {
		content, err = s.disk.Read(ctx, path.Absolute, host.MaxModule)
	} else if name, outside := filepath.Rel(path.Within, path.Absolute); outside != nil {
		err = outside
	} else {
		content, err = s.disk.ReadIn(ctx, path.Within, name, host.MaxModule)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		failed.Path = path.Written
	}
	return content, err
}

func opener(fetch func() ([]byte, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		content, err := fetch()
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

// fetchAll fetches all modules that are not files at the same time, so that the host does not wait for
// one after the other. The host gets the error of a fetch when it opens the module.
func fetchAll(cfg *config.Config, modules []host.Module) {
	var all sync.WaitGroup
	for i := range modules {
		m := &modules[i]
		if c := cfg.Modules[m.Name]; c.URL == "" && c.OCI == "" {
			continue
		}
		all.Go(func() {
			r, err := m.Open()
			m.Open = func() (io.ReadCloser, error) { return r, err }
		})
	}
	all.Wait()
}

// OpenCache opens the cache on disk that the setting "cache" names. The zero setting means the user's
// cache directory, and "off" means no cache. If a directory cannot be used, OpenCache logs that and
// stores nothing.
func OpenCache(setting config.Path, log *slog.Logger) *diskcache.Cache {
	return diskcache.Open(diskcache.Config{Dir: cacheDir(setting, log), Log: log})
}

// cacheDir returns the directory of the setting "cache"; "" means no cache.
func cacheDir(setting config.Path, log *slog.Logger) string {
	switch setting.Written {
	case "off":
		return ""
	case "":
		dir, err := os.UserCacheDir()
		if err != nil {
			log.Warn("cannot use the cache directory; starts and reloads take longer; set cache to a directory, or to off", "error", err)
			return ""
		}
		return filepath.Join(dir, "moot")
	}
	return setting.Absolute
}
