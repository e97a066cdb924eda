package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder returns a folder with these files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const listed = `modules: {m: {file: m.wasm}}
tenants:
  default:
    chain:
      - module: m
        config:
          words: ${lines:words.txt}
          table: ${json:table.json}
          plain: "$${lines:words.txt}"
`

func TestValuesFromFiles(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": listed, "words.txt": "one\r\ntwo words\n\n  \n# three\nlast", "table.json": `{"big": 12345678901234567890, "list": [1.50]}`})
	var loader Loader
	c, err := loader.Load(t.Context(), filepath.Join(dir, "config.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	e := c.Tenants["default"].Chain[0]
	if want := `{"plain":"${lines:words.txt}","table":{"big":12345678901234567890,"list":[1.50]},"words":["one","two words","# three","last"]}`; string(e.Config) != want {
		t.Errorf("got  %s\nwant %s", e.Config, want)
	}
	if want := `{"plain":"$${lines:words.txt}","table":"${json:table.json}","words":"${lines:words.txt}"}`; string(e.Shown) != want {
		t.Errorf("shown as %s, want %s", e.Shown, want)
	}
	for _, name := range []string{"words.txt", "table.json"} { // they are watched
		if !slices.Contains(loader.Files, filepath.Join(dir, name)) {
			t.Errorf("%s is not among the files: %q", name, loader.Files)
		}
	}
	if line := e.PosOf([]string{"words", "2"}).Line; line != 7 {
		t.Errorf("an element of the list is in line %d", line)
	}
}

// TestTheDigestCoversTheFiles changes one file in a hundred ways: each configuration has another digest.
func TestTheDigestCoversTheFiles(t *testing.T) {
	dir := folder(t, map[string]string{"config.yaml": listed, "table.json": "{}"})
	seen := map[[32]byte]bool{}
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, "words.txt"), []byte(strings.Repeat("x", i+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(filepath.Join(dir, "config.yaml"), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[Digest(c)] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d digests", len(seen))
	}
}

func TestWrongValuesFromFiles(t *testing.T) {
	for value, want := range map[string]string{
		"${lines:absent.txt}":      `"${lines:absent.txt}": no such file or directory`,
		"${lines:}":                `the path of the file is missing`,
		"${lines:empty}":           `the file is empty`,
		"${json:words.txt}":        `"${json:words.txt}": the file is not JSON: line 1: invalid character 'o' in literal null`,
		"${json:late.json}":        `the file is not JSON: line 3:`,
		"${json:two.json}":         `there is more after the value`,
		"${json:deep.json}":        `more than 64 nested values`,
		"${lines:binary}":          `not valid UTF-8`,
		"a ${lines:words.txt}":     `must be the whole value, in the config of a chain entry`,
		"${json:two.json} ${HOME}": `must be the whole value`,
	} {
		text := "modules: {m: {file: m.wasm}}\ntenants: {default: {chain: [{module: m, config: {words: '" + value + "'}}]}}\n"
		dir := folder(t, map[string]string{"config.yaml": text, "words.txt": "not\njson", "late.json": "{\n\"a\": 1,\n!}", "two.json": "1 2", "binary": "\xff", "empty": "",
			"deep.json": strings.Repeat("[", 70) + strings.Repeat("]", 70)})
		_, err := Load(filepath.Join(dir, "config.yaml"), nil)
		if err == nil || !strings.Contains(err.Error(), "config.yaml:2: tenants.default.chain[0].config.words: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
	if _, err := Parse("c.yaml", []byte("http: { listen: '${lines:words.txt}' }"), nil); err == nil || !strings.Contains(err.Error(), "in the config of a chain entry") {
		t.Errorf("another setting: %v", err)
	}
}

// TestAnIncludedFileReadsListsOfItsSecretsAlone: the rules of ${file:...} apply.
func TestAnIncludedFileReadsListsOfItsSecretsAlone(t *testing.T) {
	tenant := func(value string) string {
		return "modules: {m: {file: m.wasm}}\ntenants: {acme: {chain: [{module: m, config: {words: '" + value + "'}}]}}\n"
	}
	for name, test := range map[string]struct{ include, value, want string }{
		"within":     {"[{files: t/acme.yaml, secrets: secrets}]", "${lines:words.txt}", ""},
		"outside":    {"[{files: t/acme.yaml, secrets: secrets}]", "${lines:../config.yaml}", "is outside of its directory"},
		"no secrets": {"t/acme.yaml", "${json:../config.yaml}", "is off in an included file"},
	} {
		dir := folder(t, map[string]string{"config.yaml": "tenants: {default: {}}\ninclude: " + test.include, "t/acme.yaml": tenant(test.value), "secrets/words.txt": "one"})
		c, err := Load(filepath.Join(dir, "config.yaml"), nil)
		if test.want == "" && (err != nil || string(c.Tenants["acme"].Chain[0].Config) != `{"words":["one"]}`) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
