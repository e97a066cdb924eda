package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mootchat/moot/engine/api"
)

type eventsCommand struct {
	List  eventsListCommand  `cmd:"" help:"List the sinks of a tenant, with the events that wait for them."`
	Test  eventsTestCommand  `cmd:"" help:"Send a test event to a sink and print the answer."`
	Dead  eventsDeadCommand  `cmd:"" help:"List the events of a sink that were not delivered."`
	Retry eventsRetryCommand `cmd:"" help:"Deliver dead letters again."`
	Drop  eventsDropCommand  `cmd:"" help:"Remove dead letters."`
	Erase eventsEraseCommand `cmd:"" help:"Remove the events of a user that wait for sinks, and the user's dead letters."`
}

type eventsListCommand struct {
	tenantFlags
	JSON bool `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table.
func (c *eventsListCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	all, err := ask.Sinks(ctx, c.Tenant)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t.out, all)
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SINK\tWAITING\tOLDEST\tDEAD\tDROPPED\tFAILURES\tNEXT\tERROR")
	for _, s := range all {
		name := s.Name
		if !s.Configured {
			name += " (not configured)"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n", name, s.Events, since(s.OldestAt), s.Dead, s.Dropped, s.Failures, at(s.NextAt), printable(s.Error))
	}
	return table.Flush()
}

// since returns the time since a moment in ms since 1970; "-" for 0.
func since(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.Since(time.UnixMilli(ms)).Round(time.Second).String()
}

// at returns a moment in ms since 1970; "-" for 0.
func at(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// sinkFlags name a sink of a tenant.
type sinkFlags struct {
	tenantFlags
	Sink string `arg:"" help:"Name of the sink."`
}

type eventsTestCommand struct {
	sinkFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// errSinkRefused is the error of a test event that the sink did not accept.
var errSinkRefused = errors.New("the sink did not accept the test event")

// Run prints the answer of the sink. It fails if the sink did not accept the event.
func (c *eventsTestCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	result, err := ask.TestSink(ctx, c.Tenant, c.Sink)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(t.out, []api.SinkTest{result})
	} else {
		if result.Status != 0 {
			fmt.Fprintf(t.out, "%d %s, after %v\n%s\n", result.Status, http.StatusText(result.Status), result.Took.Std().Round(time.Millisecond), printable(result.Answer))
		}
		if result.OK {
			fmt.Fprintln(t.out, "the sink accepted the event")
		}
	}
	if err == nil && !result.OK {
		err = fmt.Errorf("%w: %s", errSinkRefused, printable(result.Error))
	}
	return err
}

type eventsDeadCommand struct {
	sinkFlags
	JSON bool `name:"json" help:"Print JSON, one object per line."`
}

// Run prints a table.
func (c *eventsDeadCommand) Run(ctx context.Context, t terminal) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "PLACE\tAT\tKIND\tROOM\tUSER\tERROR")
	}
	err = ask.DeadLetters(ctx, c.Tenant, c.Sink, func(l api.DeadLetter) error {
		if c.JSON {
			return printJSON(t.out, []api.DeadLetter{l})
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Place, at(l.At), l.Kind, printable(l.Room), printable(l.User), printable(l.Error))
		return err
	})
	return errors.Join(err, table.Flush())
}

// placesFlags select dead letters of a sink.
type placesFlags struct {
	sinkFlags
	Places []string `arg:"" name:"place" help:"Places of dead letters, as listed; all: every one."`
}

func (c *placesFlags) move(ctx context.Context, t terminal, do, done string) error {
	ask, err := c.client()
	if err != nil {
		return err
	}
	places := c.Places
	if slices.Equal(places, []string{"all"}) {
		places = nil
	}
	n, err := ask.MoveDeadLetters(ctx, c.Tenant, c.Sink, do, places)
	fmt.Fprintf(t.out, "%d dead letters %s\n", n, done)
	return err
}

type eventsRetryCommand struct{ placesFlags }

// Run puts dead letters back among the events that wait for the sink.
func (c *eventsRetryCommand) Run(ctx context.Context, t terminal) error {
	return c.move(ctx, t, "retry", "wait for the sink again")
}

type eventsDropCommand struct{ placesFlags }

// Run removes dead letters.
func (c *eventsDropCommand) Run(ctx context.Context, t terminal) error {
	return c.move(ctx, t, "drop", "removed")
}

type eventsEraseCommand struct{ userFlags }

// Run removes the events of a user.
func (c *eventsEraseCommand) Run(ctx context.Context, t terminal) error {
	var moved api.Moved
	if err := c.do(ctx, http.MethodDelete, c.at("events"), nil, &moved); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%d events removed\n", moved.Moved)
	return nil
}
