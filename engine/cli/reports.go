package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

type reportsCommand struct {
	List     reportsListCommand     `cmd:"" help:"List the reports that wait for a decision, the oldest first."`
	Show     reportsShowCommand     `cmd:"" help:"Show reports with the reported messages and the reporters."`
	Dismiss  reportsDismissCommand  `cmd:"" help:"Dismiss reports."`
	Retract  reportsRetractCommand  `cmd:"" help:"Retract the reported messages."`
	Sanction reportsSanctionCommand `cmd:"" help:"Mute, shadow or ban the reported users."`
}

type reportsListCommand struct {
	tenantFlags
	Decided bool   `help:"List the reports that were decided, as long as they are kept."`
	Room    string `help:"Only reports of this room." placeholder:"NAME"`
	User    string `help:"Only reports of this user and of the user's messages." placeholder:"NAME"`
	JSON    bool   `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table.
func (c *reportsListCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	all, err := ask.Reports(ctx, c.Tenant, client.ReviewQuery{Decided: c.Decided, Room: c.Room, User: c.User})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tREPORTED AT\tROOM\tAUTHOR\tREPORTS\tREASON\tOUTCOME\tMESSAGE")
	for i := range all {
		r := &all[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.ID, time.UnixMilli(r.ReportedAt).Format(time.DateTime), printable(r.Room), printable(reportedAuthor(r)),
			r.Reports, printable(r.Reporters[0].Reason), r.Outcome, printable(string(r.Message)))
	}
	return table.Flush()
}

// reportedAuthor returns the user of a report, or the connection.
func reportedAuthor(r *api.Report) string {
	if r.User != "" {
		return r.User
	}
	return r.Connection
}

// reportFlags name reports.
type reportFlags struct {
	tenantFlags
	IDs  []string `arg:"" name:"id" help:"IDs of reports, as listed."`
	JSON bool     `name:"json" help:"Print JSON, one object per line."`
}

func (f *reportFlags) each(t terminal, do func(ask *client.Client, id string) (api.Report, error)) error {
	return eachItem(t, &f.tenantFlags, f.IDs, f.JSON, "report", do, printReport)
}

type reportsShowCommand struct{ reportFlags }

// Run prints the reports.
func (c *reportsShowCommand) Run(ctx context.Context, t terminal) error {
	return c.each(t, func(ask *client.Client, id string) (api.Report, error) { return ask.Report(ctx, c.Tenant, id) })
}

// resolveFlags are the flags of a decision without a sanction.
type resolveFlags struct {
	reportFlags
	Reason string `help:"Reason that the reporters receive." placeholder:"TEXT"`
}

func (f *resolveFlags) resolve(ctx context.Context, t terminal, action review.Action) error {
	return f.each(t, func(ask *client.Client, id string) (api.Report, error) {
		return ask.ResolveReport(ctx, f.Tenant, id, action, f.Reason)
	})
}

type reportsDismissCommand struct{ resolveFlags }

// Run dismisses the reports.
func (c *reportsDismissCommand) Run(ctx context.Context, t terminal) error {
	return c.resolve(ctx, t, review.Dismiss)
}

type reportsRetractCommand struct{ resolveFlags }

// Run retracts the messages.
func (c *reportsRetractCommand) Run(ctx context.Context, t terminal) error {
	return c.resolve(ctx, t, review.Retract)
}

type reportsSanctionCommand struct {
	reportFlags
	Kind     string        `enum:"mute,shadow,ban" required:"" help:"mute, shadow or ban; see moot sanction." placeholder:"KIND"`
	Rooms    string        `default:"*" help:"A room, or a pattern of rooms with one *." placeholder:"PATTERN"`
	For      time.Duration `help:"Time until the sanction ends, such as 10m; 0: it has no end." default:"0s" placeholder:"DURATION"`
	Reason   string        `help:"Reason that the user sees." placeholder:"TEXT"`
	Note     string        `help:"Note for moderators." placeholder:"TEXT"`
	Reporter string        `help:"Reason that the reporters receive." placeholder:"TEXT"`
}

// Run sets the sanctions.
func (c *reportsSanctionCommand) Run(ctx context.Context, t terminal) error {
	if c.For < 0 {
		return misuse{errors.New("--for must not be negative")}
	}
	s := api.ReportSanction{Kind: moderation.Kind(c.Kind), Rooms: c.Rooms, TTL: millis.DurationOf(c.For), Reason: c.Reason, Note: c.Note, Reporter: c.Reporter}
	return c.each(t, func(ask *client.Client, id string) (api.Report, error) {
		return ask.SanctionReport(ctx, c.Tenant, id, s)
	})
}

// printReport prints a report with a line for each field and each reporter.
func printReport(w io.Writer, r *api.Report) error {
	lines := [][2]string{{"id", r.ID}, {"outcome", string(r.Outcome)}, {"room", r.Room}, {"author", reportedAuthor(r)}, {"address", r.Address},
		{"reported at", time.UnixMilli(r.ReportedAt).Format(time.DateTime)}, {"message id", r.MessageID}, {"message", string(r.Message)}}
	if r.Shown != nil {
		lines = append(lines, [2]string{"shown as", string(r.Shown.Message)})
	}
	lines = append(lines, [2]string{"reports", strconv.Itoa(r.Reports)})
	for _, by := range r.Reporters {
		who := by.User
		if who == "" {
			who = by.Connection
		}
		lines = append(lines, [2]string{"reporter", who + ": " + by.Reason})
	}
	if d := r.Decision; d != nil {
		lines = append(lines, [2]string{"decided by", d.By}, [2]string{"reason for reporters", d.Reason})
	}
	lines = append(lines, [2]string{"failure", r.Failure})
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	fmt.Fprintln(table)
	return table.Flush()
}
