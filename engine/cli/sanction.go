package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/moderation"
)

type sanctionCommand struct {
	Mute   muteCommand           `cmd:"" help:"Refuse the messages of a user or an address."`
	Shadow shadowCommand         `cmd:"" help:"Deliver the messages of a user or an address only to their author, who is not told."`
	Ban    banCommand            `cmd:"" help:"Remove a user or an address from rooms and refuse joins; without --rooms close connections, too."`
	List   sanctionListCommand   `cmd:"" help:"List the sanctions of a tenant."`
	Remove sanctionRemoveCommand `cmd:"" help:"Remove a sanction before it ends."`
}

// sanctionFlags are the flags of a new sanction.
type sanctionFlags struct {
	tenantFlags
	User    string        `xor:"subject" required:"" help:"User of a token." placeholder:"NAME"`
	Address string        `xor:"subject" required:"" help:"Address or network, such as 192.0.2.7 or 192.0.2.0/24; an IPv6 address stands for its /64." placeholder:"ADDRESS"`
	Wide    bool          `help:"Accept a network of more than a /24, or of more than an IPv6 /48."`
	Rooms   string        `default:"*" help:"A room, or a pattern of rooms with one *." placeholder:"PATTERN"`
	For     time.Duration `help:"Time until the sanction ends, such as 10m; 0: it has no end." default:"0s" placeholder:"DURATION"`
	Reason  string        `help:"Reason that the user sees." placeholder:"TEXT"`
	Note    string        `help:"Note for moderators." placeholder:"TEXT"`
	JSON    bool          `name:"json" help:"Print JSON."`
}

type muteCommand struct{ sanctionFlags }

type shadowCommand struct{ sanctionFlags }

type banCommand struct{ sanctionFlags }

// Run sets the sanction and prints it.
func (c *muteCommand) Run(ctx context.Context, t terminal) error {
	return c.set(ctx, t, moderation.Mute)
}

// Run sets the sanction and prints it.
func (c *shadowCommand) Run(ctx context.Context, t terminal) error {
	return c.set(ctx, t, moderation.Shadow)
}

// Run sets the sanction and prints it.
func (c *banCommand) Run(ctx context.Context, t terminal) error {
	return c.set(ctx, t, moderation.Ban)
}

func (c *sanctionFlags) set(ctx context.Context, t terminal, kind moderation.Kind) error {
	if c.For < 0 {
		return misuse{errors.New("--for must not be negative")}
	}
	ask, err := c.client()
	if err != nil {
		return err
	}
	stored, err := ask.SetSanction(ctx, c.Tenant, api.NewSanction{User: c.User, Address: c.Address, Wide: c.Wide, Kind: kind, Rooms: c.Rooms,
		TTL: millis.DurationOf(c.For), Reason: c.Reason, Note: c.Note})
	if err != nil {
		return err
	}
	return printSanctions(t.out, c.JSON, stored)
}

type sanctionListCommand struct {
	tenantFlags
	User    string `xor:"subject" help:"Only the sanctions of this user." placeholder:"NAME"`
	Address string `xor:"subject" help:"Only the sanctions of exactly this address or network." placeholder:"ADDRESS"`
	JSON    bool   `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table.
func (c *sanctionListCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	all, err := ask.Sanctions(ctx, c.Tenant, c.User, c.Address)
	if err != nil {
		return err
	}
	return printSanctions(t.out, c.JSON, all...)
}

type sanctionRemoveCommand struct {
	tenantFlags
	ID string `arg:"" help:"ID of the sanction, as listed."`
}

// Run removes the sanction.
func (c *sanctionRemoveCommand) Run(ctx context.Context, _ terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	return ask.RemoveSanction(ctx, c.Tenant, c.ID)
}

func printSanctions(w io.Writer, asJSON bool, all ...api.Sanction) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		for _, s := range all {
			if err := encoder.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tUSER OR ADDRESS\tROOMS\tUNTIL\tBY\tREASON")
	for _, s := range all {
		until := "no end"
		if s.Until != 0 {
			until = time.UnixMilli(s.Until).Format(time.DateTime)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Kind, printable(s.User+s.Address), printable(s.Rooms), until, printable(s.By+s.Module), printable(s.Reason))
	}
	return table.Flush()
}
