// Package cli has the commands of moot with their flags, output and exit codes.
// The server that "moot serve" runs is in engine/node.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mootchat/moot/engine/cli/bench"
	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/host/script"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailed  = 1 // the command failed; stderr has the reason
	exitMisused = 2 // the command line or the configuration is invalid; stderr has the problems
	exitUnwell  = 3 // status: a node is not ready or did not answer
	exitDiffer  = 4 // status: all nodes are ready, but run different versions or revisions
	exitFaulty  = 5 // status, reload: some tenants are not configured correctly; all else is in order
)

// program is the command line.
type program struct {
	Serve       serveCommand       `cmd:"" help:"Run a server until SIGTERM or SIGINT. SIGHUP reloads the configuration."`
	Check       checkCommand       `cmd:"" help:"Load a configuration with its modules, keys and certificates, and report all problems."`
	Config      configCommand      `cmd:"" help:"Write the default configuration, or print the one in use."`
	Chat        chatCommand        `cmd:"" help:"Chat with a server in the terminal."`
	Token       tokenCommand       `cmd:"" help:"Print a token for tests, signed with a key of a tenant."`
	Bench       benchCommand       `cmd:"" help:"Put load on a server and measure throughput, latency and loss."`
	Status      statusCommand      `cmd:"" help:"Show nodes, tenants and modules of a running server. Exit code 3: a node is not ready or did not answer; 4: nodes run different versions or revisions."`
	Reload      reloadCommand      `cmd:"" help:"Make a running server load its configuration again. A tenant that is not configured correctly stays as before."`
	Rollback    rollbackCommand    `cmd:"" help:"Make a running server use the rules from before the last reload."`
	Decisions   decisionsCommand   `cmd:"" help:"Show the latest decisions of the modules of a running server."`
	Events      eventsCommand      `cmd:"" help:"Events of a tenant of a running server on their way to its sinks."`
	Sanction    sanctionCommand    `cmd:"" help:"Mute and ban users and addresses of a tenant of a running server."`
	Held        heldCommand        `cmd:"" help:"List, release and reject the messages that rules hold."`
	Reports     reportsCommand     `cmd:"" help:"List and resolve the reports of members."`
	Module      moduleCommand      `cmd:"" help:"Create, build, inspect, test and measure a module."`
	Record      recordCommand      `cmd:"" help:"Record the calls to modules of a running server, with their answers."`
	Replay      replayCommand      `cmd:"" help:"Repeat recorded calls with another module and show the answers that differ."`
	KV          kvCommand          `cmd:"" name:"kv" help:"Read and change the values that modules store."`
	Rooms       roomsCommand       `cmd:"" help:"List the rooms of a tenant."`
	Connections connectionsCommand `cmd:"" help:"List the connections of a tenant: id, user, transport, address, rooms."`
	User        userCommand        `cmd:"" help:"Show the connections, rooms and sanctions of a user; send a message to the user, or close all connections."`
	Say         sayCommand         `cmd:"" help:"Send a message to a room, through its rules."`
	Message     messageCommand     `cmd:"" help:"Retract and edit messages of a room."`
	Kick        kickCommand        `cmd:"" help:"Remove a connection from a room."`
	Close       closeCommand       `cmd:"" help:"Close a connection; its client does not reconnect by itself."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	ShowVersion bool               `name:"version" help:"Print the version."`
}

// terminal has the standard streams of a command, and the files of the default configuration.
type terminal struct {
	starter  fs.FS
	in       io.Reader
	out, err io.Writer
}

// Run runs a command line and returns the exit code. args does not contain the name of the program. starter has the files that
// "moot config init" writes: config.yaml and files that it names. The first SIGTERM or
// SIGINT ends the context of the command, and a second one ends the process at once.
func Run(starter fs.FS, args []string, in io.Reader, out, err io.Writer) int {
	if script.IsTranslator(args) {
		return script.Answer(in, out)
	}
	if len(args) > 0 && args[0] == "help" { // moot help COMMAND
		args = append(args[1:len(args):len(args)], "--help")
	}
	ctx, stop := untilSignal()
	defer stop()
	parsed := false
	cmd := commandLine(&program{}, terminal{starter, in, out, err}, &parsed)
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(err)
	perr := cmd.ExecuteContext(ctx)
	if perr != nil && !parsed {
		fmt.Fprintln(err, "moot:", perr)
		fmt.Fprintln(err, `Run "moot --help" for the commands.`)
		return exitMisused
	}
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

// commandLine returns the command line of the program. *parsed becomes true when a command runs.
func commandLine(p *program, t terminal, parsed *bool) *cobra.Command {
	vars := map[string]string{"minSize": strconv.Itoa(bench.MinSize), "languages": "one of " + module.Languages}
	cmd := newCommand("moot", "A chat server whose rules are WebAssembly modules.", p, vars, func(ctx context.Context, r runner) error {
		*parsed = true
		return r.Run(ctx, t)
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	needsCommand := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !p.ShowVersion {
			return needsCommand(cmd, args)
		}
		_, err := fmt.Fprintln(t.out, "moot", version())
		return err
	}
	return cmd
}

// untilSignal returns a context that ends with the first signal. The default handling of signals is restored before that,
// so that the next signal ends the process.
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

// finding is an error with its own exit code.
type finding struct {
	error
	code int
}

// misuse is an error in the command line. It is printed without a prefix and has a line for each problem.
type misuse struct{ error }
