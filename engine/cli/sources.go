package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/fetch"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/script"
)

// fetchTime is how long a load waits for all that is fetched: who asked for it still
// listens when it has come.
const fetchTime = 30 * time.Second

// fetcher gets modules from elsewhere, and keeps them for the next start.
func fetcher(log *slog.Logger) *fetch.Fetcher {
	c := fetch.Config{Max: host.MaxModule, Log: log}
	if dir, err := os.UserCacheDir(); err == nil {
		c.Dir = filepath.Join(dir, "moot", "fetched")
	}
	return fetch.New(c)
}

// moduleOf is where a module comes from. What is fetched is fetched when it is opened,
// unless ctx has ended.
func moduleOf(ctx context.Context, name string, m config.Module, from *fetch.Fetcher) host.Module {
	of := host.Module{Name: name, Where: fmt.Sprintf("%s: modules.%s", m.Pos, name), SHA256: m.SHA256}
	switch {
	case m.URL != "":
		of.File = m.URL
		if u, err := url.Parse(m.URL); err == nil && script.Is(u.Path) {
			of.Script = path.Base(u.Path)
		}
		of.Open = fetched(func() ([]byte, error) { return from.URL(ctx, m.URL, m.SHA256) })
	case m.OCI != "":
		of.File = m.OCI
		of.Open = fetched(func() ([]byte, error) { return from.OCI(ctx, m.OCI, m.SHA256) })
	default:
		file := cmp.Or(m.Script, m.File)
		of.File, of.Script = file.Written, m.Script.Written
		of.Open = func() (io.ReadCloser, error) { return os.Open(file.Absolute) }
	}
	return of
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
