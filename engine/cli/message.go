package cli

import (
	"context"
	"net/http"
)

type messageCommand struct {
	Retract messageRetractCommand `cmd:"" help:"Retract a message of a room."`
	Edit    messageEditCommand    `cmd:"" help:"Replace the text of a message that is in the history of a room, through its rules."`
}

type messageRetractCommand struct {
	tenantFlags
	Room string `arg:"" help:"Room."`
	ID   string `arg:"" name:"id" help:"Id of the message."`
}

// Run retracts the message.
func (c *messageRetractCommand) Run(ctx context.Context, _ terminal) error {
	return c.do(ctx, http.MethodDelete, c.path("rooms", c.Room, "messages", c.ID), nil, nil)
}

type messageEditCommand struct {
	tenantFlags
	Room string `arg:"" help:"Room."`
	ID   string `arg:"" name:"id" help:"Id of the message."`
	messageFlags
}

// Run edits the message.
func (c *messageEditCommand) Run(ctx context.Context, _ terminal) error {
	message, err := c.value()
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPut, c.path("rooms", c.Room, "messages", c.ID), map[string]any{"message": message}, nil)
}
