package cli

import (
	"context"

	"github.com/mootchat/moot/engine/cli/chat"
)

type chatCommand struct {
	URL   string   `arg:"" help:"The server, such as ws://localhost:8080."`
	Room  []string `short:"r" help:"A room to join at once. May be repeated." placeholder:"ROOM"`
	Token string   `env:"MOOT_TOKEN" help:"The token that says who you are. Better in the environment, where others do not see it." placeholder:"TOKEN"`
}

// Run talks until the person leaves.
func (c *chatCommand) Run(ctx context.Context, t terminal) error {
	return chat.Run(ctx, chat.Options{URL: c.URL, Token: c.Token, Rooms: c.Room, In: t.in, Out: t.out})
}
