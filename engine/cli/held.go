package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/review"
)

type heldCommand struct {
	List    heldListCommand    `cmd:"" help:"List the messages that wait for a decision, the oldest first."`
	Show    heldShowCommand    `cmd:"" help:"Show held messages with their rules and reasons."`
	Release heldReleaseCommand `cmd:"" help:"Release held messages: the rules behind the one that held a message decide about it, and it is published."`
	Reject  heldRejectCommand  `cmd:"" help:"Reject held messages."`
}

type heldListCommand struct {
	tenantFlags
	Decided bool   `help:"List the messages that were decided, as long as they are kept."`
	Room    string `help:"Only messages of this room." placeholder:"NAME"`
	User    string `help:"Only messages of this user." placeholder:"NAME"`
	JSON    bool   `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table.
func (c *heldListCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	all, err := ask.Held(ctx, c.Tenant, client.ReviewQuery{Decided: c.Decided, Room: c.Room, User: c.User})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tHELD AT\tROOM\tAUTHOR\tRULE\tREASON\tOUTCOME\tMESSAGE")
	for i := range all {
		h := &all[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, time.UnixMilli(h.HeldAt).Format(time.DateTime), printable(h.Room), printable(authorOf(h)),
			printable(h.Rule), printable(h.Reason), h.Outcome, printable(string(h.Message)))
	}
	return table.Flush()
}

// authorOf returns the user of a held message, or its connection.
func authorOf(h *api.HeldMessage) string {
	if h.User != "" {
		return h.User
	}
	return h.Connection
}

// heldFlags name held messages.
type heldFlags struct {
	tenantFlags
	IDs  []string `arg:"" name:"id" help:"IDs of held messages, as listed."`
	JSON bool     `name:"json" help:"Print JSON, one object per line."`
}

func (f *heldFlags) each(t terminal, do func(ask *client.Client, id string) (api.HeldMessage, error)) error {
	return eachItem(t, &f.tenantFlags, f.IDs, f.JSON, "held message", do, printHeld)
}

// eachItem calls do for each id and prints the results. It goes on after an error; the error counts the ids that failed.
func eachItem[T any](t terminal, f *tenantFlags, ids []string, asJSON bool, what string, do func(ask *client.Client, id string) (T, error), show func(io.Writer, *T) error) error {
	ask, err := f.client()
	if err != nil {
		return err
	}
	failed := 0
	for _, id := range ids {
		one, err := do(ask, id)
		if err != nil {
			failed++
			fmt.Fprintf(t.err, "moot: %s: %v\n", printable(id), err)
			continue
		}
		if asJSON {
			err = printJSON(t.out, []T{one})
		} else {
			err = show(t.out, &one)
		}
		if err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s failed", failed, counted(len(ids), what))
	}
	return nil
}

type heldShowCommand struct{ heldFlags }

// Run prints the messages.
func (c *heldShowCommand) Run(ctx context.Context, t terminal) error {
	return c.each(t, func(ask *client.Client, id string) (api.HeldMessage, error) {
		return ask.HeldMessage(ctx, c.Tenant, id)
	})
}

// decisionFlags are the flags of a decision.
type decisionFlags struct {
	heldFlags
	Reason string `help:"Reason that the author receives." placeholder:"TEXT"`
}

func (f *decisionFlags) decide(ctx context.Context, t terminal, action review.Action) error {
	return f.each(t, func(ask *client.Client, id string) (api.HeldMessage, error) {
		return ask.DecideHeld(ctx, f.Tenant, id, action, f.Reason)
	})
}

type heldReleaseCommand struct{ decisionFlags }

// Run releases the messages.
func (c *heldReleaseCommand) Run(ctx context.Context, t terminal) error {
	return c.decide(ctx, t, review.Release)
}

type heldRejectCommand struct{ decisionFlags }

// Run rejects the messages.
func (c *heldRejectCommand) Run(ctx context.Context, t terminal) error {
	return c.decide(ctx, t, review.Reject)
}

func printJSON[T any](w io.Writer, all []T) error {
	encoder := json.NewEncoder(w)
	for i := range all {
		if err := encoder.Encode(all[i]); err != nil {
			return err
		}
	}
	return nil
}

// printHeld prints a held message with a line for each field.
func printHeld(w io.Writer, h *api.HeldMessage) error {
	lines := [][2]string{{"id", h.ID}, {"outcome", string(h.Outcome)}, {"room", h.Room}, {"moved to", h.To}, {"author", authorOf(h)}, {"address", h.Address},
		{"rule", h.Rule}, {"reason", h.Reason}, {"held at", time.UnixMilli(h.HeldAt).Format(time.DateTime)}}
	if h.Outcome == "waiting" && h.Until > 0 {
		lines = append(lines, [2]string{"expires", time.UnixMilli(h.Until).Format(time.DateTime) + " (" + h.OnExpire + ")"})
	}
	if d := h.Decision; d != nil {
		lines = append(lines, [2]string{"decided by", d.By}, [2]string{"reason for the author", d.Reason})
	}
	lines = append(lines, [2]string{"failure", h.Failure}, [2]string{"message id", h.MessageID}, [2]string{"message", string(h.Message)})
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	fmt.Fprintln(table)
	return table.Flush()
}
