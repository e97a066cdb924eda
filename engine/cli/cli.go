// Package cli has the commands of moot: their flags, what they print, and their exit codes.
// The server that "moot serve" runs is in engine/node.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/mootchat/moot/engine/cli/bench"
	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/host/script"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailed  = 1 // the work could not be done; stderr says why
	exitMisused = 2 // the command line or the configuration is wrong; stderr says where
	exitUnwell  = 3 // status: a node is not ready, or did not answer
	exitDiffer  = 4 // status: all nodes are ready, and run different versions or revisions
)

// program is the command line.
type program struct {
	Serve     serveCommand     `cmd:"" help:"Serve the configuration until SIGTERM or SIGINT."`
	Check     checkCommand     `cmd:"" help:"Load the configuration and its modules as serve would, and change nothing."`
	Chat      chatCommand      `cmd:"" help:"Talk to a server in the terminal."`
	Token     tokenCommand     `cmd:"" help:"Print a token of a tenant, to test with."`
	Bench     benchCommand     `cmd:"" help:"Load a server, and measure what it delivers and how fast."`
	Status    statusCommand    `cmd:"" help:"Show what a running server's nodes say of themselves. Exits with 3 if one is not ready or did not answer, else with 4 if they run different versions or revisions."`
	Reload    reloadCommand    `cmd:"" help:"Have a running server load its configuration again, all or nothing."`
	Rollback  rollbackCommand  `cmd:"" help:"Have a running server go back to the rules before the last reload."`
	Decisions decisionsCommand `cmd:"" help:"Show what modules of a running server decided of late."`
	Module    moduleCommand    `cmd:"" help:"Make, build, inspect, test and measure a module."`
	Record    recordCommand    `cmd:"" help:"Record what a running server's modules are asked and answer."`
	Replay    replayCommand    `cmd:"" help:"Ask a module what a recording has, and show what would change."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// terminal is what a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// Run carries out the command line, without the program's name, and gives the
// code to exit with. It ends early when the process is sent SIGTERM or SIGINT;
// a second one ends the process at once.
func Run(args []string, in io.Reader, out, err io.Writer) int {
	if script.Asked(args) {
		return script.Answer(in, out)
	}
	ctx, stop := untilSignal()
	defer stop()

	var p program
	exited := -1
	parser, perr := kong.New(&p,
		kong.Name("moot"),
		kong.Description("A chat server whose rules are WebAssembly modules."),
		kong.Writers(out, err),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.Vars{"minSize": strconv.Itoa(bench.MinSize), "languages": "One of " + module.Languages},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(terminal{in, out, err}),
	)
	if perr != nil {
		fmt.Fprintln(err, "moot:", perr)
		return exitFailed
	}
	command, perr := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if perr != nil {
		fmt.Fprintln(err, "moot:", perr)
		fmt.Fprintln(err, `Run "moot --help" for the commands.`)
		return exitMisused
	}
	perr = command.Run()
	var wrong misuse
	var config node.ConfigError
	var found finding
	switch {
	case perr == nil:
		return exitOK
	case errors.As(perr, &wrong):
		fmt.Fprintln(err, wrong.Error())
		return exitMisused
	case errors.As(perr, &config):
		fmt.Fprintln(err, perr)
		return exitMisused
	case errors.As(perr, &found):
		fmt.Fprintln(err, "moot:", found)
		return found.code
	}
	fmt.Fprintln(err, "moot:", perr)
	return exitFailed
}

// untilSignal gives a ctx that the first signal ends. Before it does, signals have
// their usual effect again: who sees it ended may be ended by the next.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

// finding is what a command has found out, and the code that tells it.
type finding struct {
	error
	code int
}

// misuse is an error in what the operator wrote: it is printed as it is, a line
// for each problem.
type misuse struct{ error }
