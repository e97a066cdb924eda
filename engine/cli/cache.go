package cli

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mootchat/moot/engine/config"
)

// cacheDir is the directory that the setting `cache` names, "" for none. It is the user's
// where the setting says nothing.
func cacheDir(setting config.Path, log *slog.Logger) string {
	switch setting.Written {
	case "off":
		return ""
	case "":
		dir, err := os.UserCacheDir()
		if err != nil {
			log.Warn("no cache on disk: starts and reloads take longer; set cache to a directory, or to off", "error", err)
			return ""
		}
		return filepath.Join(dir, "moot")
	}
	return setting.Absolute
}

// commandSources are the sources of a command that reads no configuration.
func commandSources(t terminal) *sources {
	log, _ := logger(config.Log{Level: "warn"}, t.err)
	return newSources(config.Path{}, log)
}
