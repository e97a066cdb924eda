package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/millis"
)

type userCommand struct {
	Show  userShowCommand  `cmd:"" help:"Show the connections, rooms and sanctions of a user."`
	Send  userSendCommand  `cmd:"" help:"Send a message to all connections of a user."`
	Close userCloseCommand `cmd:"" help:"Close all connections of a user and end their sessions; the clients do not reconnect by themselves."`
}

// userFlags name a user of a tenant.
type userFlags struct {
	tenantFlags
	User string `arg:"" help:"User of a token."`
}

func (f *userFlags) at(parts ...string) string {
	return f.path(append([]string{"users", f.User}, parts...)...)
}

type userShowCommand struct {
	userFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// userStatus has the fields of a user that the command prints.
type userStatus struct {
	Connections []struct {
		listedConnection
		ConnectedAt millis.Time `json:"connectedAt"`
	} `json:"connections"`
	More        bool           `json:"more"`
	Sanctions   []api.Sanction `json:"sanctions"`
	Unreachable []string       `json:"unreachable"`
}

// Run prints the connections, each with its rooms, and the sanctions.
func (c *userShowCommand) Run(ctx context.Context, t terminal) error {
	var answer json.RawMessage
	if err := c.do(ctx, http.MethodGet, c.at(), nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(t.out, "%s\n", answer)
		return err
	}
	var u userStatus
	if err := json.Unmarshal(answer, &u); err != nil {
		return fmt.Errorf("the answer of the server is not a user: %w", err)
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CONNECTION\tTRANSPORT\tADDRESS\tSINCE\tROOMS")
	for _, one := range u.Connections {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%q\n", one.ID, one.Transport, one.RemoteIP, one.ConnectedAt.Time().Format(time.DateTime), one.Rooms)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if u.More {
		fmt.Fprintln(t.out, "There are further connections: moot connections --user lists all.")
	}
	if len(u.Sanctions) > 0 {
		fmt.Fprintln(t.out)
		if err := printSanctions(t.out, false, u.Sanctions...); err != nil {
			return err
		}
	}
	return unreachable(u.Unreachable)
}

type userSendCommand struct {
	userFlags
	messageFlags
}

// Run sends the message and prints the number of connections that it reached.
func (c *userSendCommand) Run(ctx context.Context, t terminal) error {
	message, err := c.value()
	if err != nil {
		return err
	}
	return c.reach(ctx, t, http.MethodPost, c.at("messages"), map[string]any{"message": message}, "sent to")
}

type userCloseCommand struct{ userFlags }

// Run closes the connections and prints their number.
func (c *userCloseCommand) Run(ctx context.Context, t terminal) error {
	return c.reach(ctx, t, http.MethodDelete, c.at("connections"), nil, "closed")
}

// reach sends a request about all connections of the user and prints their number.
func (f *userFlags) reach(ctx context.Context, t terminal, method, path string, body any, did string) error {
	var reached struct {
		Connections int      `json:"connections"`
		Unreachable []string `json:"unreachable"`
	}
	if err := f.do(ctx, method, path, body, &reached); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(t.out, did, counted(reached.Connections, "connection")); err != nil {
		return err
	}
	return unreachable(reached.Unreachable)
}

// unreachable returns the error about nodes that did not answer, or nil.
func unreachable(nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	return fmt.Errorf("these nodes did not answer, so their connections are missing: %s", strings.Join(nodes, ", "))
}
