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
	Tenant string        `default:"default" help:"Whose modules."`
	Room   string        `help:"In this room only."`
	Module string        `help:"This module only, by name." placeholder:"NAME"`
	Out    string        `required:"" help:"The file to write, which must not be there." placeholder:"FILE"`
	For    time.Duration `help:"How long; until it is interrupted if not given." placeholder:"TIME"`
	Count  int           `help:"How many calls at most." placeholder:"N"`
	Text   bool          `help:"Record what was said as it is. Without it every letter is an x and every digit a 0."`
}

var errEnough = errors.New("enough")

// Run writes what the node's modules are asked and answer, a line of JSON each.
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
	file, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // people's words
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
	fmt.Fprintf(t.err, "%s in %s\n", counted(n, "call"), c.Out)
	if lost > 0 {
		fmt.Fprintf(t.err, "%s left out: the server had no room for what waits to be written here\n", counted(lost, "call"))
	}
	return err
}

// leftOut is how many calls the line says were left out; 0: it is a call.
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
	Events  string   `arg:"" help:"What moot record wrote."`
	Module  string   `required:"" help:"The module to ask: a .wasm, a script, or a project's folder." placeholder:"FILE"`
	Against string   `help:"Compare with what this one answers; if not given, with the answers of the recording." placeholder:"FILE"`
	As      string   `help:"The module's name in the recording; if not given, that of the only one there, or that of the file." placeholder:"NAME"`
	Config  string   `help:"The entry's config: JSON, or @FILE." placeholder:"JSON"`
	Grant   []string `sep:"none" help:"As of moot module." placeholder:"NAME"`
}

// Run prints what would change; the code is 1 if anything does.
func (c *replayCommand) Run(ctx context.Context, t terminal) error {
	cache, scripts := userCache(t)
	return module.Replay(ctx, t.out, t.err, module.Replaying{Events: c.Events, Module: c.Module, Against: c.Against, As: c.As},
		module.Options{Config: c.Config, Grants: c.Grant, Cache: cache, Scripts: scripts})
}
