package cli

import (
	"context"
	"fmt"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
)

// configFlags are the flags of all commands that read a configuration.
type configFlags struct {
	Config string   `short:"c" default:"config.yaml" help:"Configuration file." placeholder:"FILE"`
	Set    []string `help:"Override a setting of the file, such as --set http.listen=:9000. Repeatable." placeholder:"PATH=VALUE"`
}

func (f *configFlags) read(ctx context.Context) (*config.Config, error) {
	return node.ReadConfig(ctx, node.Config{File: f.Config, Set: f.Set})
}

// adminFlags are the flags of all commands that send requests to a running server.
type adminFlags struct {
	URL string `name:"url" default:"http://127.0.0.1:9090" env:"MOOT_ADMIN_URL" help:"URL of the admin port of the server." placeholder:"URL"`
	Key string `env:"MOOT_ADMIN_KEY" help:"Key of the admin or of a tenant. Prefer the environment: other users of the machine see the command line." placeholder:"KEY"`
}

func (f *adminFlags) client() (*client.Client, error) {
	if f.Key == "" {
		return nil, misuse{fmt.Errorf("moot: a key is required: set MOOT_ADMIN_KEY to admin.key of the server's configuration, or to the key in its log after the start")}
	}
	c, err := client.New(f.URL, f.Key)
	if err != nil {
		return nil, misuse{fmt.Errorf("moot: --url: %w", err)}
	}
	return c, nil
}
