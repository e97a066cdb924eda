package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Bounds of one translation. A script of MaxText that people wrote needs a tenth of each.
const (
	maxTime    = 2 * time.Second  // of a processor
	maxWait    = 30 * time.Second // until it is killed: on a busy machine it gives way to the server
	maxMemory  = 256 << 20        // of the translator's heap and stacks
	maxStack   = 64 << 20         // of it: how deep a script nests
	maxOutput  = 1 << 20          // of the translated text
	maxAnswer  = 8 << 20          // of that and the places of its lines, as JSON
	maxRequest = 2 << 20
	maxStderr  = 4 << 10
)

// ErrTooDear is what errors.Is finds in the error of a script whose translation met a bound.
var ErrTooDear = errors.New("its translation takes too much")

// dear is such an error.
type dear string

func (d dear) Error() string        { return string(d) }
func (d dear) Is(target error) bool { return target == ErrTooDear }

func dearf(format string, args ...any) error { return dear(fmt.Sprintf(format, args...)) }

// Errors of scripts that are too dear to translate.
var (
	errTime   = dearf("its translation takes more than %v of a processor: simplify what is nested, such as arrow functions in conditional expressions", maxTime)
	errWait   = dearf("its translation takes more than %v: simplify what is nested, or try again when the machine is less busy", maxWait)
	errMemory = dearf("its translation takes more than %d MiB of memory: simplify what is nested", maxMemory>>20)
	errNested = dearf("it is nested too deeply to be translated")
	errOutput = dearf("its translation has more than %d bytes: simplify what is nested", maxOutput)
	errKilled = dearf("its translator was killed, or found no memory: if the machine has enough, simplify what is nested")
)

// lasting reports whether a script that failed with err does so again, on any machine at any
// time but for a slower processor.
func lasting(err error) bool {
	return errors.Is(err, errTime) || errors.Is(err, errMemory) || errors.Is(err, errNested) || errors.Is(err, errOutput)
}

// Command is the argument that makes a program a translator.
const Command = "translate-script"

// Asked reports whether a program with these arguments, its name not among them, was started
// to translate a script. It calls [Answer] then, before all else.
func Asked(args []string) bool { return len(args) == 1 && args[0] == Command }

// Self starts this program as a translator: for [Config]. The program must look at [Asked],
// a test's in TestMain.
func Self() []string {
	if runtime.GOOS == "linux" { // the file that runs, even if an upgrade has replaced it
		if _, err := os.Stat("/proc/self/exe"); err == nil {
			return []string{"/proc/self/exe", Command}
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, Command}
}

// translate asks a translator, and gives its answer. The process has nothing of this one but
// its pipes: no environment, no files. It ends with ctx, and when this process does.
func translate(ctx context.Context, command []string, q request) ([]byte, error) {
	if len(command) == 0 || Asked(os.Args[1:]) { // a translator has none: it would start itself for ever
		return nil, errors.New("this program has no translator of scripts")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxWait, errWait)
	defer cancel()
	runtime.LockOSThread() // on Linux, the process ends with the thread that started it
	defer runtime.UnlockOSThread()
	var stderr bounded
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stderr, cmd.SysProcAttr, cmd.WaitDelay = []string{}, &stderr, attributes(), time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("its translator cannot be started: %w", err)
	}
	_ = json.NewEncoder(stdin).Encode(q) // a translator that does not read it has ended, which Wait tells
	text, _ := io.ReadAll(io.LimitReader(stdout, maxAnswer+1))
	if len(text) > maxAnswer {
		cancel()
	}
	err = cmd.Wait() // closes stdin too, which until then says that this process lives
	switch {
	case len(text) > maxAnswer:
		return nil, errOutput
	case err == nil:
		return text, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, endedBy(cmd.ProcessState.ExitCode(), err, stderr.String())
}

// endedBy says why a translator gave no answer.
func endedBy(code int, err error, stderr string) error {
	switch {
	case code == exitTime:
		return errTime
	case code == exitMemory:
		return errMemory
	case code == exitOutput:
		return errOutput
	case strings.Contains(stderr, "stack overflow"):
		return errNested
	case code == -1 || strings.Contains(stderr, "out of memory") || strings.Contains(stderr, "cannot allocate memory"):
		return errKilled
	}
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	return fmt.Errorf("its translator ended: %w: %.200s", err, line)
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxStderr-b.Len())])
	return len(p), nil
}

// ReadFrom hides that of the buffer, which has no bound.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

// problems is an error of a line for each.
func problems(file string, list []problem) error {
	lines := make([]string, len(list))
	for i, p := range list {
		lines[i] = fmt.Sprintf("%s: %s", file, p.Text)
		if p.Line > 0 {
			lines[i] = fmt.Sprintf("%s:%d:%d: %s", file, p.Line, p.Column, p.Text)
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}
