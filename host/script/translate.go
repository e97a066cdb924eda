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

// Limits of one translation. A handwritten script of MaxText bytes needs a tenth of each.
const (
	maxTime    = 2 * time.Second  // of CPU
	maxWait    = 30 * time.Second // of real time: a translator has a low priority, so it may take long on a busy machine
	maxMemory  = 256 << 20        // heap and stacks of the translator
	maxStack   = 64 << 20         // of maxMemory, for stacks: they grow with the nesting of a script
	maxOutput  = 1 << 20          // bytes of the translated text
	maxAnswer  = 8 << 20          // bytes of the answer: the text and its positions, as JSON
	maxRequest = 2 << 20
	maxStderr  = 4 << 10
)

// ErrTooExpensive is the error, for errors.Is, of a script whose translation exceeds a limit.
var ErrTooExpensive = errors.New("translation exceeds a limit")

// costError is the error of a script that exceeds a limit.
type costError string

func (e costError) Error() string        { return string(e) }
func (e costError) Is(target error) bool { return target == ErrTooExpensive }

func tooExpensive(format string, args ...any) error { return costError(fmt.Sprintf(format, args...)) }

// The limits that a translation may exceed.
var (
	errTime   = tooExpensive("its translation takes more than %v of a processor: simplify what is nested, such as arrow functions in conditional expressions", maxTime)
	errWait   = tooExpensive("its translation takes more than %v: simplify what is nested, or try again when the machine is less busy", maxWait)
	errMemory = tooExpensive("its translation takes more than %d MiB of memory: simplify what is nested", maxMemory>>20)
	errNested = tooExpensive("it is nested too deeply to be translated")
	errOutput = tooExpensive("its translation has more than %d bytes: simplify what is nested", maxOutput)
	errKilled = tooExpensive("its translator was killed, or found no memory: if the machine has enough, simplify what is nested")
)

// permanent reports whether a script that failed with err would fail again on the same machine, and on any other
// machine unless it is faster.
func permanent(err error) bool {
	return errors.Is(err, errTime) || errors.Is(err, errMemory) || errors.Is(err, errNested) || errors.Is(err, errOutput)
}

// Command is the argument with which [Self] starts a program as a translator.
const Command = "translate-script"

// IsTranslator reports whether a program with these arguments, without its name, was started as a translator. If so, it must
// call [Answer] before it does anything else.
func IsTranslator(args []string) bool { return len(args) == 1 && args[0] == Command }

// Self returns a command, for [Config], that starts this program as a translator. The program must check [IsTranslator]; that
// of a test does so in TestMain.
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

// translate starts a translator and returns its answer. The process shares only its pipes with this one: it has no
// environment and no files. It ends when ctx or this process ends.
func translate(ctx context.Context, command []string, q request) ([]byte, error) {
	if len(command) == 0 || IsTranslator(os.Args[1:]) { // a translator must not start itself again
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
	_ = json.NewEncoder(stdin).Encode(q) // if this fails the translator has ended: Wait returns its error
	text, _ := io.ReadAll(io.LimitReader(stdout, maxAnswer+1))
	if len(text) > maxAnswer {
		cancel()
	}
	err = cmd.Wait() // also closes stdin, whose end tells the translator that this process has ended
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

// endedBy returns the error for a translator that ended without an answer.
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

// bounded keeps the first maxStderr bytes that are written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), maxStderr-b.Len())])
	return len(p), nil
}

// ReadFrom hides the method of the buffer, which has no limit.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

// problems returns an error with one line for each problem.
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
