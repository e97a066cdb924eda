package node

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
)

// ConfigError is an error in the configuration, or in a module, key or certificate that it names.
type ConfigError struct{ Err error }

// Error returns a line for each problem. A line begins with the file and line of the problem if
// they are known.
func (e ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e ConfigError) Unwrap() error { return e.Err }

// ReadConfig reads the configuration that a node with c would run. It reads none of the modules,
// keys and certificates that the configuration names. It uses only File and Set of c.
func ReadConfig(ctx context.Context, c Config) (*config.Config, error) {
	return c.read(ctx, new(config.Loader))
}

// ReadSettings reads a configuration and returns its settings. The error is like that of ReadConfig.
func ReadSettings(ctx context.Context, c Config) ([]config.Setting, error) {
	settings, err := new(config.Loader).Effective(ctx, c.File, os.LookupEnv, c.Set...)
	return settings, configError(err)
}

// CheckConfig loads the modules, keys and certificates of a configuration like the start of a node. It
// opens no listener and connects to no backend. The error is a ConfigError with all problems, also those of single
// tenants.
func CheckConfig(ctx context.Context, cfg *config.Config) error {
	quiet := slog.New(slog.DiscardHandler)
	rules, loaded, err := loadRules(ctx, cfg, quiet, nil, nil, auth.NewKeySets(nil, quiet), newSources(cfg.Cache, quiet))
	if err == nil {
		loaded.drop()
		err = errors.Join(loaded.err(), rules.Close())
	}
	return redacted(cfg, errors.Join(checkTLS(ctx, cfg), err))
}

// redacted returns err without the values of ${...} in the configuration.
func redacted(cfg *config.Config, err error) error {
	if err == nil {
		return nil
	}
	text := cfg.Redact(err.Error())
	var wrong ConfigError
	switch {
	case text == err.Error():
		return err
	case errors.As(err, &wrong):
		return ConfigError{errors.New(text)}
	}
	return errors.New(text)
}
