package wasi

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// program builds the Go program in testdata.
func program(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, "./testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func start(t *testing.T, rt wazero.Runtime, program wazero.CompiledModule) (api.Module, *recorder) {
	t.Helper()
	p := newRecorder()
	m, err := rt.InstantiateModule(p, program, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}

// built compiles a file of testdata. The test fails if there is no compiler.
func built(t *testing.T, compiler string, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.wasm")
	if out, err := exec.CommandContext(t.Context(), compiler, append(args, "-o", file)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: run `make test`, which installs what this test needs\n%s", err, out)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestProgramsOfOtherLanguages checks programs in C and Rust that use their standard libraries: they have no access to
// the host.
func TestProgramsOfOtherLanguages(t *testing.T) {
	for _, language := range []struct {
		name   string
		wasm   []byte
		around string
		opened []string
	}{
		{"C", built(t, "clang-14", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-mexec-model=reactor", "testdata/c/main.c"),
			"1 0 1 1", []string{"1 /etc/passwd 1", "1 . 1", "1 main.c 1", "1 /dev/stdin 1", "1 created 0", "1 read 0"}},
		{"Rust", built(t, "/usr/bin/rustc", "--target=wasm32-wasi", "--edition=2021", "--crate-type=cdylib", "-O", "testdata/rust/main.rs"),
			"1 0 0 true", []string{"1 /etc/passwd true", "1 . true", "1 main.rs true", "1 /dev/stdin true", "1 created false", "1 dialed false", "1 read 0"}},
	} {
		t.Run(language.name, func(t *testing.T) { runsAndGetsNothing(t, language.wasm, language.around, language.opened) })
	}
}

func runsAndGetsNothing(t *testing.T, text []byte, around string, opened []string) {
	rt := wazero.NewRuntime(t.Context())
	t.Cleanup(func() { rt.Close(context.Background()) })
	if err := Instantiate(t.Context(), rt, func(ctx context.Context) Guest { return ctx.(Guest) }); err != nil {
		t.Fatal(err)
	}
	wasm, err := rt.CompileModule(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	m, p := start(t, rt, wasm)
	say := func(name string, params ...uint64) (int64, error) {
		p.lines = nil
		p.output.Begin()
		r, err := m.ExportedFunction(name).Call(p, params...)
		p.output.End(p)
		return int64(append(r, 0)[0]), err
	}
	for name, want := range map[string][]string{
		"printing": {"1 to the output", "2 to the errors", "1 no end"}, "surroundings": {around}, "opening": opened,
	} {
		if _, err := say(name); err != nil || !slices.Equal(p.lines, want) {
			t.Errorf("%s: %q, %v, want %q", name, p.lines, err, want)
		}
	}
	if ns, err := say("now"); err != nil || time.Since(time.Unix(0, ns)).Abs() > time.Minute {
		t.Errorf("now %v, %v", time.Unix(0, ns), err)
	}
	a, err := say("random")
	b, err2 := say("random")
	if err != nil || err2 != nil || a == b {
		t.Errorf("random %d, then %d, %v, %v", a, b, err, err2)
	}
	var exit *sys.ExitError
	if _, err := say("exiting", 3); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit: %v", err)
	}
}

func TestGoProgram(t *testing.T) {
	rt := wazero.NewRuntime(t.Context())
	t.Cleanup(func() { rt.Close(context.Background()) })
	if err := Instantiate(t.Context(), rt, func(ctx context.Context) Guest { return ctx.(Guest) }); err != nil {
		t.Fatal(err)
	}
	wasm, err := rt.CompileModule(t.Context(), program(t))
	if err != nil {
		t.Fatal(err)
	}
	m, p := start(t, rt, wasm)
	say := func(name string, params ...uint64) (int64, error) {
		t.Helper()
		p.lines, p.slept = nil, nil
		p.output.Begin()
		r, err := m.ExportedFunction(name).Call(p, params...)
		p.output.End(p)
		if len(r) == 0 {
			return 0, err
		}
		return int64(r[0]), err
	}
	lines := func(name string, want ...string) {
		t.Helper()
		if _, err := say(name); err != nil || !slices.Equal(p.lines, want) {
			t.Errorf("%s: %q, %v", name, p.lines, err)
		}
	}
	lines("printing", "1 to the output", "2 to the errors", "1 no end")
	lines("surroundings", "1 0 0 true", `1 directory ""`)
	lines("opening", "1 /etc/passwd true", "1 . true", "1 main.go true", "1 /dev/stdin true", "1 created false", "1 dialed false", "1 read 0 EOF")

	a, err := say("random")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := say("random"); err != nil || a == b {
		t.Errorf("random %d, then %d, %v", a, b, err)
	}
	if ns, err := say("now"); err != nil || time.Since(time.Unix(0, ns)).Abs() > time.Minute {
		t.Errorf("now %v, %v", time.Unix(0, ns), err)
	}

	s := &sleeper{recorder: p}
	r, err := m.ExportedFunction("sleeping").Call(s, 20)
	if err != nil || time.Duration(r[0]) < 20*time.Millisecond || s.slept < 15*time.Millisecond {
		t.Errorf("slept %v, %v of it by the host: %v", r, s.slept, err)
	}
	if _, err := m.ExportedFunction("sleeping").Call(s, 3_600_000); !errors.Is(err, errTooLong) {
		t.Errorf("sleeping for an hour: %v", err)
	}

	m, p = start(t, rt, wasm)
	var exit *sys.ExitError
	if _, err := say("exiting", 3); !errors.As(err, &exit) || exit.ExitCode() != 3 || len(p.lines) > 0 {
		t.Errorf("%v, %q", err, p.lines)
	}
}

var errTooLong = errors.New("longer than the call has")

// sleeper is a guest whose sleep takes time. Go sleeps again until its clock has reached the time.
type sleeper struct {
	*recorder
	slept time.Duration
}

func (s *sleeper) Sleep(d time.Duration) {
	if d > time.Second {
		panic(errTooLong)
	}
	<-time.After(d)
	s.slept += d
}
