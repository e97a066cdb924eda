package cli

import (
	"context"

	"github.com/mootchat/moot/engine/cli/chat"
)

type chatCommand struct {
	URL   string   `arg:"" help:"URL of the server, such as ws://localhost:8080."`
	Room  []string `short:"r" help:"Join this room at once. Repeatable." placeholder:"ROOM"`
	Token string   `env:"MOOT_TOKEN" help:"Token of a user. Prefer the environment: other users of the machine see the command line." placeholder:"TOKEN"`
}

// Run chats until the end of the input or /quit.
func (c *chatCommand) Run(ctx context.Context, t terminal) error {
	return chat.Run(ctx, chat.Options{URL: c.URL, Token: c.Token, Rooms: c.Room, In: t.in, Out: t.out})
}
