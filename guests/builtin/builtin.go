// Package builtin has the ready-made rules that are part of the program. Their sources are in the folders of guests, each with
// a README and tests. `make builtin` builds them.
package builtin

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.wasm
var files embed.FS

// Names returns the names of the rules in alphabetical order.
func Names() (names []string) {
	found, _ := fs.Glob(files, "*.wasm") // the pattern is valid
	for _, file := range found {
		names = append(names, strings.TrimSuffix(file, ".wasm"))
	}
	return names
}

// Wasm returns the WebAssembly module of a rule; an error wraps [fs.ErrNotExist] if there is no rule of this name. The caller
// may change the bytes.
func Wasm(name string) ([]byte, error) { return files.ReadFile(name + ".wasm") }
