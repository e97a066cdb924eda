package node

import (
	"bytes"
	"cmp"
	"context"
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

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/fetch"
	"github.com/mootchat/moot/engine/files"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

// fetchTime is how long a load waits for all that is fetched: who asked for it still
// listens when it has come.
const fetchTime = 30 * time.Second

// fileTime is how long a load waits for the file of one module.
const fileTime = 5 * time.Second

// sources is where modules come from, files and elsewhere, and the cache of what is made of
// them. Loads share it, so that what
// hangs is counted once.
type sources struct {
	disk    files.Waiter
	web     *fetch.Fetcher
	cache   *diskcache.Cache
	scripts *script.Compiler
}

// newSources makes the sources of a configuration with this setting `cache`.
func newSources(cache config.Path, log *slog.Logger) *sources {
	kept := OpenCache(cache, log)
	return &sources{web: fetch.New(fetch.Config{Max: host.MaxModule, Cache: kept}), cache: kept,
		scripts: script.New(script.Config{Command: script.Self(), Cache: kept})}
}

// moduleOf is where a module comes from. What is fetched is fetched when it is opened,
// unless ctx has ended.
func moduleOf(ctx context.Context, name string, m config.Module, from *sources, networks []netip.Prefix) host.Module {
	web := from.web.WithPolicy(fetch.Policy{Restricted: m.Included, Networks: networks})
	of := host.Module{Name: name, Where: fmt.Sprintf("%s: modules.%s", m.Pos, name), SHA256: m.SHA256}
	switch {
	case m.URL != "":
		of.File = m.URL
		if u, err := url.Parse(m.URL); err == nil && script.Is(u.Path) {
			of.Script = path.Base(u.Path)
		}
		of.Open = fetched(func() ([]byte, error) { return web.URL(ctx, m.URL, m.SHA256) })
	case m.OCI != "":
		of.File = m.OCI
		of.Open = fetched(func() ([]byte, error) { return web.OCI(ctx, m.OCI, m.SHA256) })
	default:
		file := cmp.Or(m.Script, m.File)
		of.File, of.Script = file.Written, scriptName(m.Script)
		of.Open = fetched(func() ([]byte, error) { return from.file(ctx, file) })
	}
	return of
}

// scriptName is the name of a script for messages; its ending tells the language.
func scriptName(p config.Path) string {
	if end := filepath.Ext(p.Absolute); filepath.Ext(p.Written) != end {
		return p.Written + end // ${...} brought it in
	}
	return p.Written
}

// file is the content of a module's file.
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
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		of.Path = path.Written
	}
	return content, err
}

func fetched(fetch func() ([]byte, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		content, err := fetch()
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

// ahead fetches what is elsewhere, all at once, before anything is loaded: nobody waits
// for the host meanwhile. What fails, fails where the host opens it.
func ahead(cfg *config.Config, rules *host.Rules) {
	var all sync.WaitGroup
	for i := range rules.Modules {
		m := &rules.Modules[i]
		if its := cfg.Modules[m.Name]; its.URL == "" && its.OCI == "" {
			continue
		}
		all.Go(func() {
			r, err := m.Open()
			m.Open = func() (io.ReadCloser, error) { return r, err }
		})
	}
	all.Wait()
}

// OpenCache opens the cache on disk that the setting "cache" names. The zero setting names the user's
// cache directory, and "off" none. A directory that cannot be used is logged, and nothing is kept then.
func OpenCache(setting config.Path, log *slog.Logger) *diskcache.Cache {
	return diskcache.Open(diskcache.Config{Dir: cacheDir(setting, log), Log: log})
}

// cacheDir is the directory that the setting `cache` names, "" for none. It is the user's
// where the setting says nothing.
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
