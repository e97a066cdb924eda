// Command moot is a chat server whose rules are WebAssembly modules.
package main

import (
	"os"

	"github.com/mootchat/moot/engine/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
