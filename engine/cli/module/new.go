package module

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mootchat/moot/sdk"
	moot "github.com/mootchat/moot/sdk/go"
)

//go:embed template
var templates embed.FS

// starter is the content of a new project: a folder of templates and the files of the SDK.
type starter struct {
	folder  string
	sdk     fs.FS
	from    []string // files or folders of the SDK; nil: all
	strip   string   // prefix that is removed from their paths
	to      string   // the folder for the SDK
	script  string   // name of the script, for languages that are not built
	install string   // command to run before the first build; "": none
}

// starters returns the starter of each of Languages.
func starters() map[string]starter {
	return map[string]starter{
		"go":   {folder: "go", sdk: moot.Source, to: "moot"},
		"rust": {folder: "rust", sdk: sdk.Files, from: []string{"rust"}, strip: "rust", to: "moot"},
		"c":    {folder: "c", sdk: sdk.Files, from: []string{"c/moot.h"}, strip: "c"},
		"cpp":  {folder: "cpp", sdk: sdk.Files, from: []string{"c/moot.h"}, strip: "c"},
		"as":   {folder: "as", sdk: sdk.Files, from: []string{"assemblyscript/lib"}, strip: "assemblyscript", install: "npm install --ignore-scripts"},
		"zig":  {folder: "zig", sdk: sdk.Files, from: []string{"zig/moot.zig"}, strip: "zig"},
		"js":   {folder: "js", sdk: sdk.Files, from: []string{"script/moot.d.ts"}, strip: "script", script: "rule.js"},
		"ts":   {folder: "ts", sdk: sdk.Files, from: []string{"script/moot.d.ts"}, strip: "script", script: "rule.ts"},
		"lua":  {folder: "lua", sdk: sdk.Files, from: []string{}, script: "rule.lua"},
	}
}

// Languages are the languages of [New].
const Languages = "go, rust, c, cpp, as, zig, js, ts, lua"

var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// New creates a project in one of [Languages] in the folder dir, which must not exist. It returns the command to
// run before the first build; "": none.
func New(dir, lang string) (install string, err error) {
	s, ok := starters()[lang]
	if !ok {
		return "", fmt.Errorf("unknown language %q: choose one of %s", lang, Languages)
	}
	name := filepath.Base(dir)
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%q is not a valid name of a module: use lower-case letters, digits, - and _, with a letter first", name)
	}
	if _, err := os.Stat(dir); err == nil {
		return "", fmt.Errorf("%s exists already", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := s.write(dir, name); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return s.install, nil
}

func (s *starter) write(dir, name string) error {
	setting := "file: " + name + "/" + name + ".wasm"
	if s.script != "" {
		setting = "script: " + name + "/" + s.script
	}
	values := strings.NewReplacer("{{.Name}}", name, "{{.Setting}}", setting)
	expand := func(path string, text []byte) error {
		return put(filepath.Join(dir, strings.TrimSuffix(path, ".txt")), []byte(values.Replace(string(text))))
	}
	for _, shared := range []string{"README.md", "tests.yaml"} {
		text, err := templates.ReadFile("template/" + shared)
		if err != nil {
			return err
		}
		if s.script != "" {
			text = bytes.ReplaceAll(text, []byte("moot module build                                          make {{.Name}}.wasm\n"), nil)
		}
		if err := expand(shared, text); err != nil {
			return err
		}
	}
	own, err := fs.Sub(templates, "template/"+s.folder)
	if err != nil {
		return err
	}
	if err := each(own, ".", expand); err != nil {
		return err
	}
	return s.copySDK(filepath.Join(dir, s.to))
}

func (s *starter) copySDK(dir string) error {
	from := s.from
	if from == nil {
		from = []string{"."}
	}
	for _, root := range from {
		err := each(s.sdk, root, func(path string, text []byte) error {
			if strings.HasSuffix(path, "_test.go") {
				return nil
			}
			return put(filepath.Join(dir, strings.TrimPrefix(path, s.strip)), text)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls f with each file below root.
func each(files fs.FS, root string, f func(path string, text []byte) error) error {
	return fs.WalkDir(files, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return f(path, text)
	})
}

func put(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o666)
}
