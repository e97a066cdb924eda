package cli

import (
	"context"

	"github.com/mootchat/moot/engine/cli/chat"
)

type chatCommand struct {
	URL  string   `arg:"" help:"The server, such as ws://localhost:8080."`
	Room []string `short:"r" help:"A room to join at once. May be repeated." placeholder:"ROOM"`
}

// Run talks until the person leaves.
func (c *chatCommand) Run(ctx context.Context, t terminal) error {
	return chat.Run(ctx, chat.Options{URL: c.URL, Rooms: c.Room, In: t.in, Out: t.out})
}
