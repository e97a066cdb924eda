package script

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test program a translator, or one of several faulty translators, if its arguments ask for
// that.
func TestMain(m *testing.M) {
	if IsTranslator(os.Args[1:]) {
		os.Exit(Answer(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 2 && os.Args[1] == "short" {
		os.Exit(answerWithin(maxTime/8, os.Stdin, os.Stdout))
	}
	if len(os.Args) == 2 && os.Args[1] == "die" {
		self := must(os.FindProcess(os.Getpid()))
		_ = self.Kill() // as the kernel does when memory is short
	}
	if len(os.Args) == 3 && os.Args[1] == "hang" { // it prints its process ID first
		if err := os.WriteFile(os.Args[2], fmt.Append(nil, os.Getpid()), 0); err != nil {
			panic(err)
		}
		for {
			time.Sleep(time.Hour)
		}
	}
	if len(os.Args) == 2 && os.Args[1] == "tell" {
		_ = json.NewEncoder(os.Stdout).Encode(answer{Version: version, Text: strings.Join(append(os.Environ(), descriptors()...), "\n")})
		os.Exit(0)
	}
	if len(os.Args) == 2 && os.Args[1] == "flood" {
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
				os.Exit(0)
			}
		}
	}
	goleak.VerifyTestMain(m)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// descriptors returns the files that are open, without those of Go's runtime.
func descriptors() (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			list = append(list, "fd "+e.Name()+" "+to)
		}
	}
	return list
}

// compiler returns a Compiler with empty runners.
func compiler(command []string) *Compiler {
	c := New(Config{Command: command})
	c.runners = fstest.MapFS{"built/js.wasm": {}, "built/lua.wasm": {}}
	return c
}

// hostile returns scripts that need excessive time or memory, with the limit that each exceeds.
func hostile() map[string]struct {
	text string
	want error
} {
	type attack = struct {
		text string
		want error
	}
	times := func(s string, n int) string { return strings.Repeat(s, n) }
	return map[string]attack{
		"198 bytes that take 28 s":    {times("a?(b):c=>", 22), errTime},
		"calls with type arguments":   {"a" + times("<b", 20000), errTime},
		"expressions with commas":     {times("a,", 60000) + "a", errTime},
		"an enum of 10 TB":            {"enum A{a0='0123456789'" + doublings(40) + "}", errMemory},
		"decorators of decorators":    {times("@f(class{@g x})", 5000) + "class A{}", errOutput},
		"366 bytes that take years":   {times("a?(b):c=>", 40), errTime},
		"4000 declarations of a name": {times("let a;", 20000), errTime},
		"braces of 32 MB":             {times("{", 4000) + times("}", 4000), errOutput},
		"braces of 8 GiB":             {times("{", 32000) + times("}", 32000), errNested},
		"brackets":                    {times("[", MaxText), errNested},
		"calls":                       {times("f(", MaxText/2), errNested},
		"not":                         {times("!", MaxText), errNested},
		"functions":                   {times("a=>", MaxText/3), errNested},
	}
}

func doublings(n int) (members string) {
	for i := range n {
		members += fmt.Sprintf(",a%d=a%d+a%d", i+1, i, i)
	}
	return members
}

// shortTime starts a translator with an eighth of the time and with all other limits unchanged.
func shortTime() []string { return []string{must(os.Executable()), "short"} }

// anyOf also accepts the limits that a slow or busy machine exceeds first.
func anyOf(err, want error) bool {
	return errors.Is(err, want) || errors.Is(err, errWait) || want != errTime && (errors.Is(err, errTime) || errors.Is(err, errMemory) || errors.Is(err, errKilled) || errors.Is(err, errOutput))
}

func TestScriptErrorsAreBounded(t *testing.T) {
	text := strings.Repeat("let a;", 500) + "let " + strings.Repeat("x", 50000) + "; let " + strings.Repeat("x", 50000)
	_, err := compiler(Self()).Compile(t.Context(), "rule.js", []byte(text))
	if err == nil || strings.Count(err.Error(), "\n") != maxProblems || len(err.Error()) > (maxProblems+1)*(maxProblem+30) ||
		!strings.HasPrefix(err.Error(), "rule.js:1:11: ") || !strings.HasSuffix(err.Error(), "490 more errors") {
		t.Errorf("%.3000v", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	_, err := compiler([]string{must(os.Executable()), "flood"}).Compile(t.Context(), "rule.js", nil)
	if !errors.Is(err, errOutput) {
		t.Error(err)
	}
}

func TestTranslatorHasNoEnvironmentAndNoFiles(t *testing.T) {
	t.Setenv("SECRET", "secret")
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	file := must(os.Create(filepath.Join(t.TempDir(), "open")))
	defer file.Close()
	p, err := compiler([]string{must(os.Executable()), "tell"}).Compile(t.Context(), "rule.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(p.Text), "\n") {
		// Go's runtime opens files of cgroups. Files that this program inherited are not its own.
		if !strings.HasPrefix(line, "fd ") || strings.Contains(line, "socket:") || strings.Contains(line, file.Name()) {
			t.Errorf("it has %q", line)
		}
	}
}

// TestTranslatorEndsWithItsServer checks that a translator ends when its input ends.
func TestTranslatorEndsWithItsServer(t *testing.T) {
	self := Self()
	cmd := exec.Command(self[0], self[1:]...)
	stdin := must(cmd.StdinPipe())
	if err := errors.Join(cmd.Start(), json.NewEncoder(stdin).Encode(request{".ts", hostile()["366 bytes that take years"].text}), stdin.Close()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitOrphaned {
		t.Error(err)
	}
}

// memoryCache is a Cache in memory.
type memoryCache map[string][]byte

func (s memoryCache) Get(name string) []byte          { return s[name] }
func (s memoryCache) Put(name string, content []byte) { s[name] = content }

func TestTranslationIsCached(t *testing.T) {
	kept, source := memoryCache{}, []byte("const x: number = 1;\nthrow x")
	c := compiler(Self())
	c.cfg.Cache = kept
	first, err := c.Compile(t.Context(), "rule.ts", source)
	if err != nil || len(kept) != 1 {
		t.Fatal(err, len(kept))
	}
	same := func(c *Compiler, file string) {
		t.Helper()
		p, err := c.Compile(t.Context(), file, source)
		if err != nil || string(p.Text) != string(first.Text) || p.Locate(p.Name+":2") != p.Name+":2:1" {
			t.Errorf("%v, %v", p, err)
		}
	}
	c.cfg.Command, c.cfg.Cache = nil, nil
	same(c, "other.ts") // in memory
	next := compiler(nil)
	next.cfg.Cache = kept
	same(next, "rule.ts") // on disk
	if _, err := next.Compile(t.Context(), "rule.js", source); err == nil || !strings.Contains(err.Error(), "no translator") {
		t.Errorf("the translation of another language is taken: %v", err)
	}
	for key := range kept {
		kept[key] = []byte(`{"Version":"another","Text":"evil()"}`)
	}
	again := compiler(Self())
	again.cfg.Cache = kept
	same(again, "rule.ts")
}

func TestCacheInMemoryIsBounded(t *testing.T) {
	c := compiler(nil)
	for i := range 100 {
		c.store(&translation{key: fmt.Sprint(i), answer: answer{Text: strings.Repeat("x", 1<<20)}})
	}
	last, _ := c.lookup("99")
	first, _ := c.lookup("0")
	if c.size > maxCached || len(c.cached) != c.recent.Len() || len(c.cached) < 30 || last == nil || first != nil {
		t.Errorf("%d translations, %d bytes", len(c.cached), c.size)
	}
}

// TestRefusalIsCached checks that the next load of a refused script starts no process.
func TestRefusalIsCached(t *testing.T) {
	for name, script := range map[string]string{
		"time": hostile()["198 bytes that take 28 s"].text, "memory": hostile()["an enum of 10 TB"].text, "depth": hostile()["brackets"].text,
		"output": hostile()["decorators of decorators"].text, "an error": "let let",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := memoryCache{}
			c := compiler(shortTime())
			c.cfg.Cache = kept
			_, first := c.Compile(t.Context(), "rule.ts", []byte(script))
			c.cfg.Command = nil
			_, again := c.Compile(t.Context(), "rule.ts", []byte(script))
			if first == nil || again == nil || first.Error() != again.Error() {
				t.Errorf("%v, then %v", first, again)
			}
			if len(kept) > 0 || c.size < len(again.Error())/2 {
				t.Errorf("%d on disk, %d bytes in memory", len(kept), c.size)
			}
		})
	}
}

// TestNumberOfTranslatorsIsBounded checks the maximum number of translators, because each may take maxMemory.
func TestNumberOfTranslatorsIsBounded(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(64))
	if n := cap(New(Config{}).slots); n != maxTranslators {
		t.Errorf("%d translators at a time", n)
	}
}

// TestSourceMapOfScriptIsIgnored checks that errors name the lines of the script itself, not those of a source
// map that it contains.
func TestSourceMapOfScriptIsIgnored(t *testing.T) {
	mapping := "data:application/json;base64," + base64.StdEncoding.EncodeToString([]byte(`{"version":3,"sources":["script"],"names":[],"mappings":"AA6uxBqC"}`))
	for _, comment := range []string{"//# sourceMappingURL=", "//@ sourceMappingURL=", "/*# sourceMappingURL="} {
		text := "\nthrow 1\n" + comment + mapping
		if strings.HasPrefix(comment, "/*") {
			text += " */"
		}
		p, err := compiler(Self()).Compile(t.Context(), "rule.js", []byte(text))
		if err != nil || p.Locate("rule.js:1") != "rule.js:2:1" {
			t.Errorf("%s: %v, %v", comment, p.Locate("rule.js:1"), err)
		}
	}
}

// TestScriptWithoutStatements checks that a script without statements compiles; its runner decides whether it
// is acceptable.
func TestScriptWithoutStatements(t *testing.T) {
	for _, text := range []string{"", "\n\n", "// later", "type A = string", "'use strict'", "#!/usr/bin/env moot", "\ufeff", "\u2028"} {
		if _, err := compiler(Self()).Compile(t.Context(), "rule.ts", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestVersionIsThatOfGoMod checks version, which is part of the key of a cached translation.
func TestVersionIsThatOfGoMod(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/evanw/esbuild").Output()
	if words := strings.Fields(version); err != nil || !slices.Contains(words, strings.TrimSpace(string(out))) {
		t.Errorf("go.mod has %s, version is %q: %v", out, version, err)
	}
}

// BenchmarkTranslate measures a script that is not cached.
func BenchmarkTranslate(b *testing.B) {
	source := must(os.ReadFile("../../guests/game/game.ts"))
	for b.Loop() {
		if _, err := compiler(Self()).Compile(b.Context(), "game.ts", source); err != nil {
			b.Fatal(err)
		}
	}
}
