// Package script makes modules of scripts: a script and the runner of its language,
// which is itself a WebAssembly module, are together what a module is by itself.
// The scripts of JavaScript and TypeScript are run by QuickJS, those of Lua by Lua
// 5.4. It knows nothing of the host.
//
// The runners are embedded in the program if they were there when it was built
// (see the folder runner); without them [Compile] says what to do.
package script

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxText bounds the text of a script, in bytes. For JavaScript and TypeScript it is the
// depth of what its translator can nest, which takes a stack of Go's with it: twice as much
// has ended a process.
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
	Runner []byte // the runner's binary
	Name   string // of the script's file, without folders
	Text   []byte // what the runner is given

	place  func(line int) (place string, ok bool) // of a line of Text in the script
	places *regexp.Regexp                         // where Text's lines are named
}

// language is what is done with a script of one kind.
type language struct {
	name      string
	runner    string
	translate func(name string, source []byte) (text []byte, place func(line int) (string, bool), err error)
}

// languages by the ends of file names.
func languages() map[string]language {
	return map[string]language{
		".js":  {"JavaScript", "js.wasm", translateJavaScript},
		".ts":  {"TypeScript", "js.wasm", translateJavaScript},
		".lua": {"Lua", "lua.wasm", asWritten},
	}
}

// Is reports whether a file of this name is a script, by its end: .js, .ts or .lua.
func Is(file string) bool {
	_, ok := languages()[filepath.Ext(file)]
	return ok
}

// Compile makes a program of a script. file tells its language and names it in
// errors, which say the line where the script is wrong; name is what it is known by
// otherwise. The error wraps ErrNoRunner if this program lacks the runner.
func Compile(file string, source []byte) (*Program, error) { return compile(built, file, source) }

func compile(runners fs.FS, file string, source []byte) (*Program, error) {
	l, ok := languages()[filepath.Ext(file)]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is no script that can be run: its name must end in .js, .ts or .lua", file)
	case len(source) > MaxText:
		return nil, fmt.Errorf("%s has %d bytes, a script may have %d", file, len(source), MaxText)
	case !utf8.Valid(source) || slices.Contains(source, 0):
		return nil, fmt.Errorf("%s is not UTF-8 text", file)
	}
	runner, err := fs.ReadFile(runners, "built/"+l.runner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w, %s: run `make runners`, which needs clang and wasi-libc, and build it again", ErrNoRunner, l.name)
	}
	if err != nil {
		return nil, err
	}
	p := &Program{Runner: runner, Name: filepath.Base(file)}
	if p.Text, p.place, err = l.translate(file, source); err != nil {
		return nil, err
	}
	p.places = regexp.MustCompile(regexp.QuoteMeta(p.Name) + `:(\d+)`)
	return p, nil
}

// asWritten is for languages whose runner takes them as they are. place is where a line
// begins: that is all that is known of an error's column.
func asWritten(_ string, source []byte) ([]byte, func(int) (string, bool), error) {
	lines := bytes.Split(source, []byte("\n"))
	return source, func(line int) (string, bool) {
		if line < 1 || line > len(lines) {
			return "", false
		}
		indent := len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " \t"))
		return fmt.Sprintf("%d:%d", line, indent+1), true
	}, nil
}

// Locate is text in which the lines that the runner names are those of the
// script as it was written, with their columns where they are known:
// rule.ts:12:5.
func (p *Program) Locate(text string) string {
	if p == nil || p.place == nil || !strings.Contains(text, p.Name) {
		return text
	}
	return p.places.ReplaceAllStringFunc(text, func(found string) string {
		line := 0
		for _, digit := range found[len(p.Name)+1:] {
			line = min(line*10+int(digit-'0'), 1<<30)
		}
		if place, ok := p.place(line); ok {
			return p.Name + ":" + place
		}
		return found
	})
}
