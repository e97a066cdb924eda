package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/trial"
)

// moduleCommand has the commands for authors of rules.
type moduleCommand struct {
	New     moduleNew     `cmd:"" help:"Create a project that builds and passes its tests."`
	Build   moduleBuild   `cmd:"" help:"Build a project of any language."`
	Inspect moduleInspect `cmd:"" help:"Show the hooks, fields, capabilities, imports and limits of a module."`
	Test    moduleTest    `cmd:"" help:"Run a file of tests against a module."`
	Run     moduleRun     `cmd:"" help:"Call a module with one event and show its answer and cost."`
	Bench   moduleBench   `cmd:"" help:"Measure the calls of a module at each of its hooks."`
	Conform moduleConform `cmd:"" help:"Call every hook of a module with events of every kind."`
}

// moduleFlags are the flags of the commands that load a module.
type moduleFlags struct {
	File    string        `arg:"" default:"." help:"Module: a .wasm file, a script (.js, .ts, .lua), builtin:NAME for a ready-made rule, or the folder of a project, which is built. Default: the current folder."`
	Config  string        `help:"Configuration of the entry: JSON, or @FILE." placeholder:"JSON"`
	Grant   []string      `help:"Grant only this capability, such as kv or properties:role. Repeatable. Default: all that the module asks for." placeholder:"NAME"`
	Memory  int64         `help:"Limit of the memory of an instance in bytes. Default: 16777216 (16 MiB)." placeholder:"BYTES"`
	Timeout time.Duration `help:"Time limit for one event. Default: 50ms." placeholder:"DURATION"`
	JSON    bool          `name:"json" help:"Print JSON."`
}

func (f *moduleFlags) options(t terminal) module.Options {
	cache, scripts := userCache(t)
	return module.Options{Config: f.Config, Grants: f.Grant, Memory: f.Memory, Timeout: f.Timeout, Cache: cache, Scripts: scripts, JSON: f.JSON}
}

type moduleNew struct {
	Dir  string `arg:"" help:"Folder to create. Its name is the name of the module."`
	Lang string `required:"" help:"Language: ${languages}." placeholder:"LANGUAGE"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run creates the project and prints the next steps.
func (c *moduleNew) Run(_ context.Context, t terminal) error {
	install, err := module.New(c.Dir, c.Lang)
	if err != nil {
		return misuse{err}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]string{"dir": c.Dir, "language": c.Lang, "install": install})
	}
	fmt.Fprintf(t.out, "%s is a module in %s. Next:\n", c.Dir, c.Lang)
	if install != "" {
		fmt.Fprintf(t.out, "  (cd %s && %s)\n", c.Dir, install)
	}
	_, err = fmt.Fprintf(t.out, "  moot module test %s\n", c.Dir)
	return err
}

type moduleBuild struct {
	Dir  string `arg:"" default:"." help:"Folder of the project."`
	Out  string `short:"o" help:"File to write. Default: NAME.wasm in the folder NAME." placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run builds the project.
func (c *moduleBuild) Run(ctx context.Context, t terminal) error {
	out, err := module.Build(ctx, c.Dir, c.Out, t.err)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{"file": out, "script": script.Is(out)})
	}
	if script.Is(out) {
		_, err = fmt.Fprintf(t.out, "%s is a script: there is nothing to build\n", out)
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

// isolationFlag is the flag of the commands that call a module several times.
type isolationFlag struct {
	Isolation string `default:"instance" enum:"instance,call" help:"Lifetime of the memory of the module, as in an entry: instance, or call for one call."`
}

type moduleTest struct {
	moduleFlags
	isolationFlag
	Tests string `help:"File of tests. Default: NAME.test.yaml beside NAME.wasm, or tests.yaml in its folder." placeholder:"FILE"`
}

// Run runs the tests.
func (c *moduleTest) Run(ctx context.Context, t terminal) error {
	o := c.options(t)
	o.Isolation = c.Isolation
	return module.Test(ctx, t.out, t.err, c.File, c.Tests, o)
}

type moduleRun struct {
	moduleFlags
	Hook        string   `default:"" enum:",connect,join,onSayReceive,say,leave,disconnect,action" help:"Hook to call: connect, join, onSayReceive, say, leave, disconnect or action. Default: onSayReceive, or another hook of the module."`
	Room        string   `default:"lobby" help:"Room of the event."`
	Message     string   `default:"hello" help:"Text of the message."`
	MessageJSON string   `name:"json-message" help:"Message that is not a text, as JSON." placeholder:"JSON"`
	From        string   `default:"1" help:"ID of the sender."`
	Cause       string   `help:"Cause of a leave or a join, such as disconnect."`
	Action      string   `help:"Name of the action. Default: the first of the module."`
	Params      string   `help:"Parameters of the action, as JSON." placeholder:"JSON"`
	Property    []string `help:"Property of the connection, or of the receivers of a say: JSON, or a text. Repeatable." placeholder:"NAME=VALUE"`
	User        string   `help:"User of the connection."`
	Locale      string   `help:"Locale of the connection, or of the receivers of a say, such as en-GB."`
	Receivers   int      `default:"1" help:"Number of receivers of a say."`
	Answer      []string `help:"Answer of a service that the module asks, as JSON. Repeatable." placeholder:"ASK=JSON"`
	Edits       string   `help:"ID of the message that the event edits: the message is its new text." placeholder:"ID"`
}

// Run calls the module and prints its answer.
func (c *moduleRun) Run(ctx context.Context, t terminal) error {
	q := module.Question{Properties: c.Property, Receivers: c.Receivers, Event: trial.Event{Hook: c.Hook, Room: c.Room, From: c.From,
		Context: "user", SentAt: time.Now().UnixMilli(), Message: &c.Message, Cause: c.Cause, Action: c.Action, Params: trial.JSON(c.Params),
		Edits: c.Edits, MessageID: c.Edits, Connection: &trial.Connection{User: c.User, Locale: c.Locale}}}
	for _, answer := range c.Answer {
		name, text, ok := strings.Cut(answer, "=")
		if !ok || !trial.JSON(text).Valid() {
			return misuse{fmt.Errorf("--answer %s: it must be ASK=JSON", answer)}
		}
		if q.Event.Answers == nil {
			q.Event.Answers = make(map[string]trial.Reply)
		}
		q.Event.Answers[name] = trial.Reply{JSON: trial.JSON(text)}
	}
	if c.MessageJSON != "" {
		q.Event.Message, q.Event.JSON = nil, trial.JSON(c.MessageJSON)
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
	isolationFlag
	Message string        `help:"Text of the message. Default: 200 bytes."`
	Time    time.Duration `default:"1s" help:"Time of each measurement."`
}

// Run measures the module.
func (c *moduleBench) Run(ctx context.Context, t terminal) error {
	if c.Time <= 0 {
		return misuse{errors.New("--time must be positive")}
	}
	o := c.options(t)
	o.Isolation = c.Isolation
	return module.Bench(ctx, t.out, t.err, c.File, c.Message, c.Time, o)
}

type moduleConform struct{ moduleFlags }

// Run prints a table of the calls.
func (c *moduleConform) Run(ctx context.Context, t terminal) error {
	return module.Conform(ctx, t.out, t.err, c.File, c.options(t))
}
