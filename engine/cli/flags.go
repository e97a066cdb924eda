package cli

import (
	"context"
	"fmt"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
)

// configFlags are what the commands that read a configuration have in common.
type configFlags struct {
	Config string   `short:"c" default:"config.yaml" help:"The configuration." placeholder:"FILE"`
	Set    []string `sep:"none" help:"Set one setting, stronger than the file, such as --set http.listen=:9000. May be repeated." placeholder:"PATH=VALUE"`
}

func (f *configFlags) read(ctx context.Context) (*config.Config, error) {
	return node.ReadConfig(ctx, node.Config{File: f.Config, Set: f.Set})
}

// adminFlags are what the commands that ask a running server have in common.
type adminFlags struct {
	URL string `name:"url" default:"http://127.0.0.1:9090" env:"MOOT_ADMIN_URL" help:"The server's admin.listen." placeholder:"URL"`
	Key string `env:"MOOT_ADMIN_KEY" help:"The admin key, or a tenant's. Better in the environment, where others do not see it." placeholder:"KEY"`
}

func (f *adminFlags) client() (*client.Client, error) {
	if f.Key == "" {
		return nil, misuse{fmt.Errorf("moot: the server wants a key: set MOOT_ADMIN_KEY to the admin.key of its configuration, or to the key that its log shows at start")}
	}
	c, err := client.New(f.URL, f.Key)
	if err != nil {
		return nil, misuse{fmt.Errorf("moot: --url: %w", err)}
	}
	return c, nil
}
