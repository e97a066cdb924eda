package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/cli/module"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/node"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// snippet is a fenced block of a Markdown file.
type snippet struct{ language, text string }

func snippetsOf(t *testing.T, file string) []snippet {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []snippet
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, snippet{m[1], m[2]})
	}
	return all
}

// TestReadmeIsTrue runs each command, program and configuration of README.md: those of its first section in a copy of the
// tree, those of the section about Go in an empty folder.
func TestReadmeIsTrue(t *testing.T) {
	root, project := treeCopy(t), t.TempDir()
	var commands []string
	files := map[string]string{}
	for _, s := range snippetsOf(t, filepath.Join(root, "README.md")) {
		switch s.language {
		case "sh":
			for command := range strings.Lines(s.text) {
				commands = append(commands, strings.TrimSpace(command))
			}
		default:
			path, _, _ := strings.Cut(strings.TrimLeft(s.text, "/# "), "\n")
			files[path] = s.text
		}
	}
	want := []string{"git clone https://github.com/mootchat/moot && cd moot", "make run", "./moot chat ws://localhost:8080 --room defaultRoom",
		"go install github.com/mootchat/moot@latest", "moot module new shout --lang go", "moot module test shout", "moot module build shout",
		"moot serve -c moot.yaml", "make test"}
	if !slices.Equal(commands, want) {
		t.Fatalf("the README's commands are %q; this test knows %q", commands, want)
	}
	if len(files) != 3 || files["rule.js"] == "" || files["shout/main.go"] == "" || files["moot.yaml"] == "" {
		t.Fatalf("the README has files that this test does not know, or lacks some: %q", files)
	}

	patient(t, filepath.Join(root, "config.yaml"), "- module: ", "- timeout: 10s\n        module: ")
	command(t, root, "make", "moot") // a busy machine takes longer to build than startServer waits
	run := startServer(t, root, append([]string{"make", "run"}, "ARGS="+strings.Join(anyPorts, " "))...)
	for _, edit := range []struct{ rule, logged, says, hears string }{
		{"", "", "what the darn", "what the ****"},
		{"", "", "!shrug", `¯\_(ツ)_/¯`},
		{files["rule.js"], "msg=reload ", "hello", "hello 👋"},
		{"", "", "!loud hello", "HELLO!"},
		{strings.Replace(files["rule.js"], "toUpperCase()", "toUpperCase(", 1), `reload refused.*rule\.js:6:`, "!loud hello", "HELLO!"},
	} {
		if edit.rule != "" {
			nodetest.Write(t, filepath.Join(root, "rule.js"), edit.rule)
			if err := run.Log.Await(regexp.MustCompile(edit.logged)); err != nil {
				t.Fatal(err)
			}
		}
		if said := chatWith(t, root, run.HTTP, "defaultRoom", edit.says); !strings.Contains(said, "[defaultRoom] you: "+edit.hears+"\n") {
			t.Errorf("%s: defaultRoom received:\n%s", edit.says, said)
		}
	}
	run.Stop(t)

	moot := filepath.Join(root, "moot")
	command(t, project, moot, "module", "new", "shout", "--lang", "go")
	command(t, project, moot, "module", "test", "shout", "--timeout", "1m")
	nodetest.Write(t, filepath.Join(project, "shout/main.go"), files["shout/main.go"])
	nodetest.Write(t, filepath.Join(project, "moot.yaml"), files["moot.yaml"])
	patient(t, filepath.Join(project, "moot.yaml"), "- { module: ", "- { timeout: 10s, module: ")
	command(t, project, moot, "module", "build", "shout")
	run = startServer(t, project, append([]string{moot, "serve", "-c", "moot.yaml"}, anyPorts...)...)
	if said := chatWith(t, root, run.HTTP, "loud", "hello"); !strings.Contains(said, "[loud] you: HELLO") {
		t.Errorf("loud received:\n%s", said)
	}
	run.Stop(t)
}

// patient gives the entries of a configuration a timeout of 10 s, by replacing their beginnings. With the default of 50 ms, messages are
// refused on a busy machine.
func patient(t *testing.T, file, entry, instead string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(strings.ReplaceAll(string(text), "        timeout: 50ms", "        #"), entry, instead)
	if changed == string(text) {
		t.Fatalf("%s has no entry that begins with %q", file, entry)
	}
	nodetest.Write(t, file, changed)
}

// anyPorts are the flags of a server on free ports, which ends at once, and whose chains have time on a busy machine.
var anyPorts = []string{"--set", "limits.chainTimeout=1m", "--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--set", "drain=0s"}

// TestConfigurationsInGuestReadmesLoad checks that each configuration in the README of a guest loads with its modules. The
// paths in it are relative to the root of the repository.
func TestConfigurationsInGuestReadmesLoad(t *testing.T) {
	files, err := filepath.Glob("../../guests/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../guests/README.md")
	if _, err := module.Build(t.Context(), "../../guests/welcome", "", io.Discard); err != nil { // the only guest that is not a ready-made rule
		t.Fatal(err)
	}
	loaded := 0
	for _, file := range files {
		for _, s := range snippetsOf(t, file) {
			if s.language == "yaml" {
				loads(t, file, "../../snippet.yaml", s.text)
				loaded++
			}
		}
	}
	if loaded < 3 {
		t.Errorf("only %d configurations were found", loaded)
	}
}

// TestScriptsOfTheReadmeLoad writes each script of sdk/script/README.md to the path in its first line, and checks that it
// loads with the configuration of that README.
func TestScriptsOfTheReadmeLoad(t *testing.T) {
	dir := t.TempDir()
	var scripts []string
	var config string
	for _, s := range snippetsOf(t, "../../sdk/script/README.md") {
		switch s.language {
		case "js", "lua":
			path, _, _ := strings.Cut(strings.TrimLeft(s.text, "/- "), "\n")
			nodetest.Write(t, filepath.Join(dir, path), s.text)
			scripts = append(scripts, path)
		case "yaml":
			config = s.text
		default:
			t.Errorf("nothing tests a snippet in %q", s.language)
		}
	}
	for _, script := range scripts {
		loads(t, script, filepath.Join(dir, "config.yaml"), strings.ReplaceAll(config, "rules/shout.js", script))
	}
	if len(scripts) != 3 {
		t.Errorf("the README shows the scripts %q", scripts)
	}
}

// loads checks that a configuration with the file name path loads with its modules.
func loads(t *testing.T, what, path, text string) {
	t.Helper()
	cfg, err := config.Parse(path, []byte(text), os.LookupEnv)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if err := node.CheckConfig(t.Context(), cfg); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// treeCopy returns a folder with a copy of the files of the project.
func treeCopy(t *testing.T) string {
	t.Helper()
	from, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	to := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue // removed, and the removal is not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		nodetest.Write(t, filepath.Join(to, name), string(text))
	}
	return to
}

func startServer(t *testing.T, dir string, args ...string) *nodetest.Server {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAKEFLAGS=")
	s, err := nodetest.Start(cmd)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	t.Cleanup(s.Kill)
	return s
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// chatWith sends one message to a room and returns the output.
func chatWith(t *testing.T, root, address, room, say string) string {
	t.Helper()
	cmd := exec.Command("./moot", "chat", "ws://"+address, "--room", room)
	cmd.Dir = root
	cmd.Stdin = strings.NewReader("/room " + room + "\n" + say + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("moot chat: %v\n%s", err, &out)
	}
	return out.String()
}

// TestCommandsInPagesAreCommands checks the arguments of each moot command at the beginning of a line in the pages about
// modules, clients and operation.
func TestCommandsInPagesAreCommands(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../../sdk/*.md", "../../sdk/*/README.md", "../../guests/*.md", "../../guests/*/README.md", "module/template/README.md", "../../examples/deploy/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	commands := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^moot .*$`).FindAllString(string(text), -1) {
			command, _, _ := strings.Cut(m, "   ") // a description follows
			var p program
			cmd := newCommand("moot", "", &p, map[string]string{"minSize": "0", "languages": ""}, func(context.Context, runner) error { return nil })
			cmd.SetArgs(strings.Fields(command)[1:])
			cmd.SilenceErrors, cmd.SilenceUsage = true, true
			if err := cmd.Execute(); err != nil {
				t.Errorf("%s: %s: %v", page, command, err)
			}
			commands++
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands were found", commands)
	}
}
