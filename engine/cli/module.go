package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/host/trial"
)

// moduleCommand is what who writes a rule does.
type moduleCommand struct {
	New     moduleNew     `cmd:"" help:"Make a project that builds and tests at once."`
	Build   moduleBuild   `cmd:"" help:"Build a project, whatever its language."`
	Inspect moduleInspect `cmd:"" help:"Show a module's hooks, what it reads, needs, imports and uses."`
	Test    moduleTest    `cmd:"" help:"Ask a module what a file of tests says, and compare."`
	Run     moduleRun     `cmd:"" help:"Ask a module one thing, and show what it says and takes."`
	Bench   moduleBench   `cmd:"" help:"Measure a module at each of its hooks."`
	Conform moduleConform `cmd:"" help:"Put a module through every hook with events of every kind."`
}

// moduleFlags are what the commands that load a module have in common.
type moduleFlags struct {
	File    string        `arg:"" help:"The module: a .wasm, a script (.js, .ts, .lua), or a project's folder, which is built."`
	Config  string        `help:"The entry's config: JSON, or @FILE." placeholder:"JSON"`
	Grant   []string      `sep:"none" help:"Grant this capability, such as kv or properties:role, and no other that is not named. May be repeated. If there is none: all that the module asks for." placeholder:"NAME"`
	Memory  int64         `help:"Memory of an instance, in bytes; 16 MiB if not given." placeholder:"BYTES"`
	Timeout time.Duration `help:"Time for one event; 50ms if not given." placeholder:"TIME"`
}

func (f *moduleFlags) options(t terminal) module.Options {
	cache, scripts := userCache(t)
	return module.Options{Config: f.Config, Grants: f.Grant, Memory: f.Memory, Timeout: f.Timeout, Cache: cache, Scripts: scripts}
}

type moduleNew struct {
	Dir  string `arg:"" help:"The folder to make; its name is the module's."`
	Lang string `required:"" help:"${languages}." placeholder:"LANGUAGE"`
}

// Run makes the project, and says what comes next.
func (c *moduleNew) Run(t terminal) error {
	install, err := module.New(c.Dir, c.Lang)
	if err != nil {
		return misuse{err}
	}
	fmt.Fprintf(t.out, "%s is a module in %s. Next:\n", c.Dir, c.Lang)
	if install != "" {
		fmt.Fprintf(t.out, "  (cd %s && %s)\n", c.Dir, install)
	}
	_, err = fmt.Fprintf(t.out, "  moot module test %s\n", c.Dir)
	return err
}

type moduleBuild struct {
	Dir string `arg:"" default:"." help:"The project's folder."`
	Out string `short:"o" help:"The binary to write; NAME.wasm in the folder NAME if not given." placeholder:"FILE"`
}

// Run builds the project.
func (c *moduleBuild) Run(ctx context.Context, t terminal) error {
	out, err := module.Build(ctx, c.Dir, c.Out, t.err)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.out, out)
	return err
}

type moduleInspect struct{ moduleFlags }

// Run prints the table.
func (c *moduleInspect) Run(ctx context.Context, t terminal) error {
	return module.Inspect(ctx, t.out, t.err, c.File, c.options(t))
}

type moduleTest struct {
	moduleFlags
	Tests string `help:"The tests; NAME.test.yaml beside NAME.wasm, or tests.yaml in its folder, if not given." placeholder:"FILE"`
}

// Run runs the tests.
func (c *moduleTest) Run(ctx context.Context, t terminal) error {
	return module.Test(ctx, t.out, t.err, c.File, c.Tests, c.options(t))
}

type moduleRun struct {
	moduleFlags
	Hook        string   `required:"" enum:"connect,join,onSayReceive,say,leave,disconnect,action" help:"${enum}."`
	Room        string   `default:"lobby" help:"The room it happens in."`
	Message     string   `help:"What is said."`
	MessageJSON string   `name:"json-message" help:"What is said, as JSON that is no text." placeholder:"JSON"`
	From        string   `default:"1" help:"Who says it."`
	Cause       string   `help:"Of a leave or a join, such as disconnect."`
	Action      string   `help:"The action's name."`
	Params      string   `help:"The action's parameters." placeholder:"JSON"`
	Property    []string `sep:"none" help:"A property of the connection, or the receivers: JSON, or a text. May be repeated." placeholder:"NAME=VALUE"`
	User        string   `help:"Who its token says it is."`
	Locale      string   `help:"Of the connection, or the receivers, such as en-GB."`
	Receivers   int      `default:"1" help:"How many a say is for."`
	JSON        bool     `name:"json" help:"The answer as JSON."`
}

// Run asks the module and prints what it says.
func (c *moduleRun) Run(ctx context.Context, t terminal) error {
	q := module.Question{Properties: c.Property, Receivers: c.Receivers, JSON: c.JSON}
	q.Event = trial.Event{Hook: c.Hook, Connection: &trial.Connection{User: c.User, Locale: c.Locale}}
	switch c.Hook {
	case "onSayReceive", "say":
		q.Event.Room, q.Event.From, q.Event.Context, q.Event.SentAt = c.Room, c.From, "user", time.Now().UnixMilli()
		q.Event.Message = &c.Message
		if c.MessageJSON != "" {
			q.Event.Message, q.Event.JSON = nil, trial.JSON(c.MessageJSON)
		}
	case "join", "leave":
		q.Event.Room, q.Event.Cause = c.Room, c.Cause
	case "action":
		q.Event.Action, q.Event.Params = c.Action, trial.JSON(c.Params)
	}
	for name, text := range map[string]trial.JSON{"--json-message": q.Event.JSON, "--params": q.Event.Params} {
		if text != nil && !text.Valid() && len(text) > 0 {
			return misuse{fmt.Errorf("%s is not JSON: %s", name, text)}
		}
	}
	return module.Run(ctx, t.out, t.err, c.File, q, c.options(t))
}

type moduleBench struct {
	moduleFlags
	Message string        `help:"What is said; 200 bytes if not given."`
	Time    time.Duration `default:"1s" help:"For each line of the table."`
}

// Run measures the module.
func (c *moduleBench) Run(ctx context.Context, t terminal) error {
	if c.Time <= 0 {
		return misuse{errors.New("--time must be more than nothing")}
	}
	return module.Bench(ctx, t.out, t.err, c.File, c.Message, c.Time, c.options(t))
}

type moduleConform struct{ moduleFlags }

// Run prints the table of what was tried.
func (c *moduleConform) Run(ctx context.Context, t terminal) error {
	return module.Conform(ctx, t.out, t.err, c.File, c.options(t))
}
