package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/host/trial"
)

type recordCommand struct {
	adminFlags
	Tenant string        `default:"default" help:"Tenant of the modules."`
	Room   string        `help:"Only calls in this room."`
	Module string        `help:"Only calls to this module, by name." placeholder:"NAME"`
	Out    string        `required:"" help:"File to write; it must not exist." placeholder:"FILE"`
	For    time.Duration `help:"Time to record. Default: until interrupted." placeholder:"DURATION"`
	Count  int           `help:"Maximum number of calls. Default: no limit." placeholder:"N"`
	JSON   bool          `name:"json" help:"Print the number of calls as JSON."`
	Text   bool          `help:"Record the texts of messages. Default: every letter becomes x and every digit 0."`
}

var errEnough = errors.New("enough")

// Run writes each call to a module of the node, with its answer, as a line of JSON.
func (c *recordCommand) Run(ctx context.Context, t terminal) (err error) {
	ask, err := c.client()
	if err != nil {
		return err
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	file, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // it contains messages of users
	if err != nil {
		return misuse{fmt.Errorf("moot: --out: %w", err)}
	}
	to := bufio.NewWriter(file)
	n, lost := 0, 0
	q := url.Values{}
	for name, value := range map[string]string{"room": c.Room, "module": c.Module} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Text {
		q.Set("text", "true")
	}
	fmt.Fprintln(t.err, "recording")
	err = ask.Lines(ctx, client.Path("api", "tenants", c.Tenant, "record")+"?"+q.Encode(), func(line []byte) error {
		if _, err := to.Write(append(line, '\n')); err != nil {
			return err
		}
		if left := leftOut(line); left > 0 {
			lost += left
			return nil
		}
		if n++; n == c.Count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		err = nil
	}
	err = errors.Join(err, to.Flush(), file.Close())
	if n == 0 && err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	if c.JSON {
		return errors.Join(err, json.NewEncoder(t.out).Encode(map[string]any{"file": c.Out, "calls": n, "leftOut": lost}))
	}
	fmt.Fprintf(t.err, "%s in %s\n", counted(n, "call"), c.Out)
	if lost > 0 {
		fmt.Fprintf(t.err, "%s left out: this command did not read them fast enough\n", counted(lost, "call"))
	}
	return err
}

// leftOut returns the number of missing calls that the line stands for; 0: the line is a call.
func leftOut(line []byte) int {
	if !bytes.HasPrefix(line, []byte(`{"lost":`)) {
		return 0
	}
	var r trial.Recorded
	if json.Unmarshal(line, &r) != nil {
		return 0
	}
	return r.Lost
}

type replayCommand struct {
	Events  string   `arg:"" help:"File of moot record."`
	Module  string   `required:"" help:"Module to call: a .wasm file, a script, or the folder of a project." placeholder:"FILE"`
	Against string   `help:"Compare with the answers of this module. Default: with the recorded answers." placeholder:"FILE"`
	As      string   `help:"Name of the module in the recording. Default: the only one there, or the name of the file." placeholder:"NAME"`
	Config  string   `help:"Configuration of the entry: JSON, or @FILE." placeholder:"JSON"`
	Grant   []string `help:"Grant this capability, as in moot module run. Repeatable." placeholder:"NAME"`
	Summary bool     `help:"Print only the kinds of the changes, with the number of events of each."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// Run prints the answers that differ. The exit code is 1 if an answer differs.
func (c *replayCommand) Run(ctx context.Context, t terminal) error {
	cache, scripts := userCache(t)
	return module.Replay(ctx, t.out, t.err, module.Replaying{Events: c.Events, Module: c.Module, Against: c.Against, As: c.As, Summary: c.Summary},
		module.Options{Config: c.Config, Grants: c.Grant, Cache: cache, Scripts: scripts, JSON: c.JSON})
}
