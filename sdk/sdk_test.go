// Package sdk_test tests every SDK in the same way: its conformance guest against the whole
// contract, and its example with the same messages. A missing compiler fails the test: make
// tools installs it.
package sdk_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/engine/diskcache"
	"github.com/mootchat/moot/host/hosttest"
	"github.com/mootchat/moot/host/script"
	"github.com/mootchat/moot/host/trial"
)

var languages = []string{"go", "rust", "c", "cpp", "assemblyscript", "zig"}

// cache holds the compiled modules of all tests.
var cache *diskcache.Cache

func TestMain(m *testing.M) {
	if script.IsTranslator(os.Args[1:]) {
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	}
	dir, err := os.MkdirTemp("", "moot-sdk")
	if err != nil {
		panic(err)
	}
	cache = diskcache.Open(diskcache.Config{Dir: dir})
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// built builds a project and returns its binary.
func built(t *testing.T, dir string) []byte {
	t.Helper()
	var log bytes.Buffer
	out, err := module.Build(t.Context(), dir, filepath.Join(t.TempDir(), "module.wasm"), &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if log.Len() > 0 {
		t.Errorf("the compiler warns:\n%s", &log)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestConformance(t *testing.T) {
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			r, err := hosttest.Conform(t.Context(), built(t, filepath.Join(language, "conformance")), cache)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Rows) < 110 {
				t.Errorf("only %d things were tried", len(r.Rows))
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			if t.Failed() || testing.Verbose() {
				var table strings.Builder
				if err := r.Print(&table); err != nil {
					t.Error(err)
				}
				t.Log("\n" + table.String())
			}
		})
	}
}

// TestBlocklist calls the example of every SDK with the same messages.
func TestBlocklist(t *testing.T) {
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			wasm := built(t, filepath.Join(language, "examples/blocklist"))
			for _, c := range []struct{ config, want string }{
				{`{"action":"hide"}`, `action: must be one of "mask", "deny"`},
				{`{"words":["darn","c++"]}`, `words: "c++" is not one word`},
				{`{"words":[""]}`, `words: "" is not one word`},
			} {
				m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: json.RawMessage(c.config), Cache: cache})
				if err == nil {
					m.Close()
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v, want %s", c.config, err, c.want)
				}
			}
			asks(t, wasm, `{"words":["darn","bête","h\u0065ck"]}`, []exchange{
				{"hello", false, "", ""},
				{"", false, "", ""},
				{"oh Darn, DARN!", false, "oh ****, ****!", ""},
				{"darned undarn darn2 darn_", false, "darned undarn darn2 ****_", ""},
				{"très bête, 世界 heck", false, "très ****, 世界 ****", ""},
				{strings.Repeat("darn ", 2000), false, strings.Repeat("**** ", 2000), ""},
				{`{"a":["darn it"]}`, true, "", refused},
				{`{"a":[1,true,null]}`, true, "", ""},
			})
			asks(t, wasm, `{"words":["darn"],"action":"deny"}`, []exchange{
				{"oh darn", false, "", refused},
				{"oh dear", false, "", ""},
			})
			asks(t, wasm, `{}`, []exchange{{"oh darn", false, "", ""}})
			r, err := hosttest.Probe(t.Context(), trial.Config{Wasm: wasm, Timeout: time.Minute, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

const refused = "the message holds a blocked word"

// exchange is a message and the expected result; the zero result is allow.
type exchange struct {
	message           string
	json              bool
	rewritten, denied string
}

func asks(t *testing.T, wasm []byte, config string, list []exchange) {
	t.Helper()
	m, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Settings: json.RawMessage(config), Timeout: time.Minute, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, x := range list {
		e := trial.Event{Hook: "onSayReceive", Room: "lobby", Message: &x.message}
		if x.json {
			e.Message, e.JSON = nil, trial.JSON(x.message)
		}
		want := trial.Answer{Verdict: "allow"}
		switch {
		case x.rewritten != "":
			want = trial.Answer{Verdict: "rewrite", Message: &x.rewritten}
		case x.denied != "":
			want = trial.Answer{Verdict: "deny", Reason: x.denied}
		}
		got, _, err := m.Ask(t.Context(), &e)
		if err != nil || !got.Same(&want) {
			g, _ := json.Marshal(got)
			w, _ := json.Marshal(want)
			t.Errorf("%s: %.60q: %v\ngot  %.300s\nwant %.300s", config, x.message, err, g, w)
		}
	}
}

// TestReadmesBuild builds the module of each README in a new project.
func TestReadmesBuild(t *testing.T) {
	files := map[string]struct{ fence, path string }{
		"go":             {"go", "main.go"},
		"rust":           {"rust", "src/lib.rs"},
		"c":              {"c", "main.c"},
		"cpp":            {"cpp", "main.cpp"},
		"assemblyscript": {"ts", "assembly/index.ts"},
		"zig":            {"zig", "main.zig"},
	}
	for language, f := range files {
		t.Run(language, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(language, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			m := regexp.MustCompile("(?ms)^```" + f.fence + "\n(.*?)^```$").FindSubmatch(text)
			if m == nil {
				t.Fatalf("the README has no %s", f.fence)
			}
			dir := project(t, language, f.path, m[1])
			asks(t, built(t, dir), `{}`, []exchange{{"hello", false, "HELLO!", ""}})
		})
	}
}

// panics has a module in each language that fails on a message, and the texts of the failure.
var panics = map[string]struct {
	path, source string
	want         []string
}{
	"go": {"main.go", `package main

import moot "github.com/mootchat/moot/sdk/go"

func init() { moot.Register(moot.Module{Name: "m", OnSayReceive: func(*moot.Event) moot.Verdict { panic("boom at sea") }}) }

func main() {}
`, []string{"panic: boom at sea", "main.go:5"}},
	"rust": {"src/lib.rs", `struct Rule;
moot::module!(Rule, on_say_receive);
impl moot::Module for Rule {
    const MANIFEST: &'static str = r#"{"name":"m"}"#;
    fn new(_: &str) -> Result<Self, String> { Ok(Rule) }
    fn on_say_receive(&mut self, _: &moot::Event) -> moot::Verdict {
        panic!("boom at sea")
    }
}
`, []string{"boom at sea", "src/lib.rs:7:9"}},
	"c": {"main.c", `#include "moot.h"
MOOT_MANIFEST("{\"name\":\"m\"}")
static __attribute__((noinline)) void sail(const moot_event *e) { MOOT_ASSERT(moot_message(e).len == 99); }
MOOT_ON_SAY_RECEIVE(e) {
    sail(e);
    return moot_allow();
}
`, []string{"main.c:3: assertion failed: moot_message(e).len == 99", "sail"}},
	"cpp": {"main.cpp", `#include "moot.h"
MOOT_MANIFEST(R"({"name":"m"})")
MOOT_ON_SAY_RECEIVE(e) { MOOT_PANIC(e ? "boom at sea" : "calm"); }
`, []string{"main.cpp:3: boom at sea", "on_say_receive"}},
	"assemblyscript": {"assembly/index.ts", `import { Event, Verdict, ask, manifest } from "moot";
export { moot_abi_1, moot_alloc, moot_reason } from "moot";
export function moot_manifest(): u64 { return manifest('{"name":"m"}'); }
export function on_say_receive(frame: usize): i32 {
  return ask(frame, (e: Event): Verdict => { throw new Error("boom at sea"); });
}
`, []string{"boom at sea at assembly/index.ts:5:46"}},
	"zig": {"main.zig", `const moot = @import("moot");
pub const panic = moot.panic;
comptime {
    moot.module(@This());
}
pub const manifest =
    \\{"name":"m"}
;
pub fn on_say_receive(_: moot.Event) moot.Verdict {
    @panic("boom at sea");
}
`, []string{"panic: boom at sea"}},
}

// TestPanics checks that the failure of a call has the text of a panic, and its place where the language knows it.
func TestPanics(t *testing.T) {
	for language, p := range panics {
		t.Run(language, func(t *testing.T) {
			dir := project(t, language, p.path, []byte(p.source))
			m, err := trial.Load(t.Context(), trial.Config{Wasm: built(t, dir), Timeout: time.Minute, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			text := "hello"
			a, _, err := m.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Room: "lobby", Message: &text})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range p.want {
				if !strings.Contains(a.Failure, want) {
					t.Errorf("the failure lacks %q:\n%s", want, a.Failure)
				}
			}
		})
	}
}

// project creates a project in the folder of its SDK, where compilers find it. It ends with the test.
func project(t *testing.T, language, path string, source []byte) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(language, "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, path), source)
	copied := map[string][2]string{"rust": {"rust/conformance/Cargo.toml", "Cargo.toml"}, "cpp": {"c/moot.h", "moot.h"}}
	if from, ok := copied[language]; ok {
		text, err := os.ReadFile(from[0])
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, from[1]), text)
	}
	return dir
}

// TestNewProjects creates a project in each language, and builds and tests it as its README
// describes.
func TestNewProjects(t *testing.T) {
	compilers := map[string]string{"as": "assemblyscript/node_modules", "zig": "zig/node_modules"} // the folder in which npm installs it
	for language := range strings.SplitSeq(module.Languages, ", ") {
		t.Run(language, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mark-"+language)
			if _, err := module.New(dir, language); err != nil {
				t.Fatal(err)
			}
			if compiler := compilers[language]; compiler != "" {
				from, err := filepath.Abs(compiler)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(from, filepath.Join(dir, "node_modules")); err != nil {
					t.Fatal(err)
				}
			}
			var out, log bytes.Buffer
			err := module.Test(t.Context(), &out, &log, dir, "", module.Options{Cache: cache, Scripts: script.New(script.Config{Command: script.Self()}), Timeout: time.Minute})
			if err != nil || log.Len() > 0 || !strings.HasSuffix(out.String(), "3 of 3 tests passed\n") {
				t.Errorf("%v\n%s%s", err, &out, &log)
			}
		})
	}
}

// TestReadmesTestOfGo runs the test in the README of the Go SDK with the module in it.
func TestReadmesTestOfGo(t *testing.T) {
	text, err := os.ReadFile("go/README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(text, -1)
	if len(found) != 2 {
		t.Fatalf("the README has %d pieces of Go, want a module and its test", len(found))
	}
	dir, err := os.MkdirTemp("go", "readme-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "main.go"), found[0][1])
	write(t, filepath.Join(dir, "main_test.go"), append([]byte("package main\n\nimport (\n\"testing\"\n\n\"github.com/mootchat/moot/sdk/go/moottest\"\n)\n\n"), found[1][1]...))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestShout")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// limit is a rule for the tests in README.md: two messages a second, and translation for German
// receivers.
const limit = `
moot.declare({ reads: ["message", "id", "locale"], vary: ["locale"], capabilities: ["kv"] });
moot.on("onSayReceive", (event, connection) => moot.kv.add(connection.id, 1, 10000) < moot.config.limit ? moot.allow() : moot.deny("slow down"));
moot.on("say", (event, receiver) => receiver.locale === "de" ? moot.rewrite("hallo") : moot.allow());
`

// shown returns the first code block of a language in a page.
func shown(t *testing.T, page, language string) []byte {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s shows no %s", page, language)
	}
	return m[1]
}

// TestReadmesTests runs the tests in README.md.
func TestReadmesTests(t *testing.T) {
	text := shown(t, "README.md", "yaml")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "limit.js"), []byte(limit))
	write(t, filepath.Join(dir, "tests.yaml"), text)
	var out, log bytes.Buffer
	err := module.Test(t.Context(), &out, &log, filepath.Join(dir, "limit.js"), "", module.Options{Cache: cache, Scripts: script.New(script.Config{Command: script.Self()}), Timeout: time.Minute})
	if err != nil || !strings.HasSuffix(out.String(), "2 of 2 tests passed\n") {
		t.Errorf("%v\n%s%s", err, &out, &log)
	}
}

// limited is the rule for the tests in TESTS.md.
const limited = `
moot.declare({ reads: ["user"], capabilities: ["kv", "rate"] });
moot.on("onSayReceive", (event, { user }) => {
  if (moot.kv.get("banned:" + user) !== undefined) return moot.drop();
  if (moot.rate.take(user, { burst: moot.config.limit, per: 500 }) > 0) return moot.deny("slow down", 429);
  moot.kv.add("count:" + user);
  moot.count("counted");
});
`

// toxic is the script of the test about answers in TESTS.md.
const toxic = `
moot.declare({ reads: ["message"], asks: ["toxicity"] });
moot.on("onSayReceive", (event) => moot.ask("toxicity", { text: event.message }));
moot.on("answer", (event, answer) => answer.json.score > 0.9 ? moot.hold("toxic?") : moot.allow());
`

// TestThePageAboutTestsIsTrue runs the tests in TESTS.md, and compares the keys that it lists with those of the command.
func TestThePageAboutTestsIsTrue(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "limit.js"), []byte(limited))
	write(t, filepath.Join(dir, "tests.yaml"), shown(t, "TESTS.md", "yaml"))
	var out, log bytes.Buffer
	err := module.Test(t.Context(), &out, &log, dir, "", module.Options{Cache: cache, Scripts: script.New(script.Config{Command: script.Self()}), Timeout: time.Minute})
	if err != nil || !strings.HasSuffix(out.String(), "2 of 2 tests passed\n") {
		t.Errorf("%v\n%s%s", err, &out, &log)
	}
	page, err := os.ReadFile("TESTS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "An answer has a `status`")
	_, after, _ = strings.Cut(after, "```yaml\n")
	answers, _, _ := strings.Cut(after, "```")
	write(t, filepath.Join(dir, "toxic.js"), []byte(toxic))
	write(t, filepath.Join(dir, "toxic.test.yaml"), []byte(answers))
	out.Reset()
	err = module.Test(t.Context(), &out, &log, filepath.Join(dir, "toxic.js"), "", module.Options{Cache: cache, Scripts: script.New(script.Config{Command: script.Self()}), Timeout: time.Minute})
	if err != nil || out.String() != "ok    the service finds it toxic\n1 of 1 tests passed\n" {
		t.Errorf("%v\n%s%s", err, &out, &log)
	}
	keys := module.TestKeys()
	if len(keys) < 48 {
		t.Errorf("the command knows only %d keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(string(page), "`"+key+"`") {
			t.Errorf("TESTS.md does not explain %s", key)
		}
	}
}

// TestLanguagesAreInTheTable compares the table in README.md with the languages of moot module.
func TestLanguagesAreInTheTable(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for language := range strings.SplitSeq(module.Languages, ", ") {
		if n := strings.Count(string(page), "| `"+language+"` |"); n != 1 {
			t.Errorf("README.md has %d lines about %s", n, language)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllSubmatch(page, -1) {
		if _, err := os.Stat(string(link[1])); err != nil {
			t.Error(err)
		}
	}
}

// TestPagesModule builds the module in the text format of ABI.md, and calls it.
func TestPagesModule(t *testing.T) {
	text := shown(t, "ABI.md", "wat")
	dir := filepath.Join(t.TempDir(), "quiet")
	write(t, filepath.Join(dir, "main.wat"), text)
	wasm := built(t, dir)
	guest, err := trial.Load(t.Context(), trial.Config{Wasm: wasm, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	for text, want := range map[string]string{"!quiet": "drop", "hello": "allow", "": "allow"} {
		a, _, err := guest.Ask(t.Context(), &trial.Event{Hook: "onSayReceive", Message: &text})
		if err != nil || a.Verdict != want {
			t.Errorf("%q: %v %s, want %s", text, err, a.Verdict, want)
		}
	}
	r, err := hosttest.Probe(t.Context(), trial.Config{Wasm: wasm, Cache: cache, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}
