// Package script makes modules of scripts: a script and the runner of its language,
// which is itself a WebAssembly module, are together what a module is by itself.
// The scripts of JavaScript and TypeScript are run by QuickJS, those of Lua by Lua
// 5.4. It knows nothing of the host.
//
// The runners are embedded in the program if they were there when it was built
// (see the folder runner); without them [Compiler.Compile] says what to do.
package script

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// MaxText bounds the text of a script, in bytes.
const MaxText = 128 << 10

// Export is what a runner exports beside what every module does: it is given the
// script before moot_init, (ptr, len, name i32) -> i32: the script's name, of
// that many bytes, and its text. 0 accepts.
const Export = "moot_script"

// ErrNoRunner is wrapped where this program was built without a runner.
var ErrNoRunner = errors.New("this moot was built without the runner of its language")

//go:embed built
var built embed.FS

// Program is a script that is ready to run. It does not change.
type Program struct {
	Runner *Runner
	Name   string // of the script's file, without folders
	Text   []byte // what the runner is given

	places []int32        // line and column in the script of each line of Text; 0: not known
	named  *regexp.Regexp // where lines of Text are named
}

// Runner is the module that runs the scripts of one language. All programs of a Compiler share it.
type Runner struct {
	Wasm   []byte
	Digest [sha256.Size]byte // of Wasm
}

// language is how scripts of one kind are run.
type language struct {
	name       string
	runner     string
	translated bool
}

// languages by the ends of file names.
func languages() map[string]language {
	return map[string]language{
		".js":  {"JavaScript", "js.wasm", true},
		".ts":  {"TypeScript", "js.wasm", true},
		".lua": {"Lua", "lua.wasm", false},
	}
}

// Is reports whether a file of this name is a script, by its end: .js, .ts or .lua.
func Is(file string) bool {
	_, ok := languages()[filepath.Ext(file)]
	return ok
}

// plain is a script of Lua without what the lua command skips in a file too: a byte order mark,
// and a first line that begins with #. The lines keep their numbers.
func plain(source []byte) []byte {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if bytes.HasPrefix(source, []byte("#")) {
		return append([]byte("--"), source...)
	}
	return source
}

// linesOf has the places of a script that runs as it is written: where each line begins, which
// is all that is known of an error's column.
func linesOf(source []byte) (places []int32) {
	for i, line := range bytes.Split(source, []byte("\n")) {
		places = append(places, int32(i+1), int32(len(line)-len(bytes.TrimLeft(line, " \t"))+1))
	}
	return places
}

// Locate is text in which the lines that the runner names are those of the
// script as it was written, with their columns where they are known:
// rule.ts:12:5.
func (p *Program) Locate(text string) string {
	if p == nil || p.named == nil || !strings.Contains(text, p.Name) {
		return text
	}
	return p.named.ReplaceAllStringFunc(text, func(found string) string {
		line := 0
		for _, digit := range found[len(p.Name)+1:] {
			line = min(line*10+int(digit-'0'), 1<<30)
		}
		if line < 1 || 2*line > len(p.places) || p.places[2*line-2] == 0 {
			return found
		}
		return fmt.Sprintf("%s:%d:%d", p.Name, p.places[2*line-2], p.places[2*line-1])
	})
}
