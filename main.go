// Command moot is a chat server whose rules are WebAssembly modules.
package main

import (
	"embed"
	"os"

	"github.com/mootchat/moot/engine/cli"
)

//go:embed config.yaml rule.js
var starter embed.FS

func main() { os.Exit(cli.Run(starter, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
