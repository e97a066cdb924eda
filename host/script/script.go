// Package script compiles scripts to programs. A program is a script with the runner of its language, a WebAssembly
// module; the host uses both together like a module. QuickJS runs JavaScript and TypeScript, Lua 5.4 runs Lua. The
// package does not depend on the host.
//
// The runners are embedded in the program. The folder runner has their sources; `make builtin` builds them.
package script

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// MaxText is the largest size of a script in bytes.
const MaxText = 128 << 10

// Export is a function that runners export in addition to those of a module, (ptr, len, name i32) -> i32. The host
// calls it before moot_init with the script's name, of name bytes, followed by its text; 0 accepts.
const Export = "moot_script"

// PlaceExport is a function that runners export in addition, () -> i64: ptr << 32 | len of the place of the script that runs,
// such as "rule.js:3", with a line of the program's text. It is empty if the script does not run. The host calls it after a
// call has run out of time.
const PlaceExport = "moot_place"

//go:embed built/js.wasm built/lua.wasm
var built embed.FS

// Program is a compiled script. It is immutable.
type Program struct {
	Runner *Runner
	Name   string // base name of the script's file
	Text   []byte // the text for the runner
	Uses   []Use  // of capabilities, as far as the text of the script shows them

	positions []int32        // line and column in the script, for each line of Text; 0: not known
	named     *regexp.Regexp // matches NAME:LINE, with a line of Text
}

// Runner is the module that runs the scripts of one language. All programs of a Compiler share it.
type Runner struct {
	Wasm   []byte
	Digest [sha256.Size]byte // of Wasm
}

// language is a language of scripts.
type language struct {
	runner     string
	translated bool
}

// languages returns the languages by file extension.
func languages() map[string]language {
	return map[string]language{
		".js":  {"js.wasm", true},
		".ts":  {"js.wasm", true},
		".lua": {"lua.wasm", false},
	}
}

// Is reports whether a file is a script, by its extension: .js, .ts or .lua.
func Is(file string) bool {
	_, ok := languages()[filepath.Ext(file)]
	return ok
}

// plain returns a Lua script without the parts that the lua command ignores in a file: a byte order mark, and a first
// line that begins with #. Lines keep their numbers.
func plain(source []byte) []byte {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if bytes.HasPrefix(source, []byte("#")) {
		return append([]byte("--"), source...)
	}
	return source
}

// lineStarts returns the positions of a script that runs unchanged: the first text of each line, because the column of
// an error is not known.
func lineStarts(source []byte) (places []int32) {
	for i, line := range bytes.Split(source, []byte("\n")) {
		places = append(places, int32(i+1), int32(len(line)-len(bytes.TrimLeft(line, " \t"))+1))
	}
	return places
}

// Locate replaces lines that the runner names in text, such as rule.ts:3, by lines of the original script, with the
// column if it is known: rule.ts:12:5.
func (p *Program) Locate(text string) string {
	if p == nil || p.named == nil || !strings.Contains(text, p.Name) {
		return text
	}
	return p.named.ReplaceAllStringFunc(text, func(found string) string {
		line := 0
		for _, digit := range found[len(p.Name)+1:] {
			line = min(line*10+int(digit-'0'), 1<<30)
		}
		if line < 1 || 2*line > len(p.positions) || p.positions[2*line-2] == 0 {
			return found
		}
		return fmt.Sprintf("%s:%d:%d", p.Name, p.positions[2*line-2], p.positions[2*line-1])
	})
}

// Place returns the place of a use in the script, such as rule.ts:12:5.
func (p *Program) Place(u Use) string {
	if u.Line == 0 {
		return p.Name
	}
	return fmt.Sprintf("%s:%d:%d", p.Name, u.Line, u.Column)
}
