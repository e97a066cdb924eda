package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

type decisionsCommand struct {
	adminFlags
	Tenant  string        `help:"Only decisions of this tenant." placeholder:"NAME"`
	Room    string        `help:"Only decisions in this room." placeholder:"NAME"`
	Hook    string        `help:"Only decisions at this hook." placeholder:"HOOK"`
	Module  string        `help:"Only decisions of this module, by name." placeholder:"NAME"`
	Verdict string        `help:"Only this verdict: allow, rewrite, deny, drop, hold, error, opened or closed." placeholder:"VERDICT"`
	Shadow  bool          `help:"Only decisions of modules in shadow mode, beside the verdict that was applied."`
	Since   time.Duration `help:"Only decisions of this last time, such as 10m." placeholder:"DURATION"`
	Limit   int           `default:"100" help:"Maximum number of decisions; the latest are listed." placeholder:"N"`
	Follow  bool          `short:"f" help:"Print new decisions until interrupted."`
	JSON    bool          `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table, the latest decision last.
func (c *decisionsCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	q := report.DecisionFilter{Tenant: c.Tenant, Room: c.Room, Hook: c.Hook, Module: c.Module, Verdict: c.Verdict, Shadow: c.Shadow, Limit: c.Limit}
	if c.Since > 0 {
		q.Since = millis.TimeOf(time.Now().Add(-c.Since))
	}
	p := &decisionPrinter{out: t.out, err: t.err, json: c.JSON, shadow: c.Shadow}
	if err := p.show(ctx, ask, q); err != nil || !c.Follow {
		return err
	}
	q.Limit = maxFollowed
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := p.show(ctx, ask, q); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

const (
	followEvery = time.Second
	maxFollowed = 1000 // limit of one request; earlier decisions are skipped
)

// decisionPrinter prints each decision once.
type decisionPrinter struct {
	out, err     io.Writer
	json, shadow bool
	headed       bool
	cursor       string // of the last page that was printed
}

// show prints the decisions since the last call.
func (p *decisionPrinter) show(ctx context.Context, ask *client.Client, q report.DecisionFilter) error {
	page, err := ask.Decisions(ctx, q, p.cursor)
	if err != nil {
		return err
	}
	if len(page.Unreachable) > 0 {
		fmt.Fprintln(p.err, "no answer from "+strings.Join(page.Unreachable, ", "))
	}
	p.cursor = page.Cursor
	found := page.Decisions
	slices.Reverse(found)
	if p.json {
		encoder := json.NewEncoder(p.out)
		for _, d := range found {
			if err := encoder.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}
	return p.table(found)
}

// table prints a table. With p.shadow it has the applied verdict (OLD) beside the verdict of the shadow (NEW).
func (p *decisionPrinter) table(found []api.Decision) error {
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	if !p.headed {
		p.headed = true
		columns := "TIME\tTENANT\tROOM\tHOOK\tVERDICT\tMODULE\tTOOK\tREASON"
		if p.shadow {
			columns = "TIME\tTENANT\tROOM\tHOOK\tOLD\tNEW\tMODULE\tTOOK\tREASON"
		}
		fmt.Fprintln(table, columns)
	}
	for _, d := range found {
		verdict := d.Verdict
		switch {
		case p.shadow:
			verdict = orDash(printable(doneOf(d))) + "\t" + verdict
		case d.Shadow:
			verdict += " (shadow)"
		}
		if d.Receivers > 0 {
			verdict += fmt.Sprint(" x", d.Receivers)
		}
		if d.Refused > 0 {
			verdict += fmt.Sprintf(" (%d refused)", d.Refused)
		}
		code := ""
		if d.Code != 0 {
			code = fmt.Sprintf("(code %d)", d.Code)
		}
		reason := slices.DeleteFunc([]string{d.Reason, code, d.Error, d.Text}, func(s string) bool { return s == "" })
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.At.Time().Format("15:04:05.000"), d.Tenant, orDash(printable(d.Room)), d.Hook,
			verdict, d.Module, took(d.Took), printable(strings.Join(reason, " ")))
	}
	return table.Flush()
}

// doneOf returns the verdict that was applied instead of the shadow's, with the name of its module.
func doneOf(d api.Decision) string {
	if d.DoneBy == "" {
		return d.Done
	}
	return d.Done + " by " + d.DoneBy
}

func orDash(text string) string { return cmp.Or(text, "-") }

// printable replaces control characters, because clients and modules choose the names of rooms and reasons.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, text)
}
