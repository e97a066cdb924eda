package node

import (
	"io"
	"log/slog"

	"github.com/mootchat/moot/engine/config"
)

// logger returns the logger that the configuration describes and its level. The logger writes to
// w. Durations are text in both formats, such as "1.5s".
func logger(c config.Log, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// setLevel sets a level by its name.
func setLevel(level *slog.LevelVar, name string) {
	_ = level.UnmarshalText([]byte(name)) // the name is valid, because config has checked it
}
