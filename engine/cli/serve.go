package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/mootchat/moot/engine/node"
)

type serveCommand struct {
	configFlags
}

// Run runs a server until ctx ends. It then drains the clients and returns. SIGHUP makes the server reload.
func (c *serveCommand) Run(ctx context.Context, t terminal) error {
	log.SetOutput(io.Discard) // net/http logs there what a server sends unasked, which may contain secrets; the node has a log of its own
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	n, err := node.Start(ctx, node.Config{File: c.Config, Set: c.Set, Version: version(), Log: t.err, Reload: hup})
	if errors.Is(err, node.ErrStopped) {
		_, err = fmt.Fprintln(t.err, "moot: "+err.Error())
		return err
	}
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what the compiler of modules has left; an idle server would keep it for minutes
	return n.Wait()
}
