package cli

import (
	"log/slog"

	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/host/script"
)

// userCache returns the user's cache on disk and a script compiler that uses it. Commands without a configuration use
// them.
func userCache(t terminal) (*diskcache.Cache, *script.Compiler) {
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cache := node.OpenCache(config.Path{}, log)
	return cache, script.New(script.Config{Command: script.Self(), Cache: cache})
}
