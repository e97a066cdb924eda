//go:build unix

package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTranslationIsBounded checks the CPU time of translations by the kernel's count. One of them has all of maxTime,
// the others an eighth.
func TestTranslationIsBounded(t *testing.T) {
	before := children(t)
	t.Run("all", func(t *testing.T) {
		for name, a := range hostile() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				command := shortTime()
				if name == "366 bytes that take years" {
					command = Self()
				}
				_, err := compiler(command).Compile(t.Context(), "rule.ts", []byte(a.text))
				if err == nil || !strings.HasPrefix(err.Error(), "rule.ts: ") || !anyOf(err, a.want) || !errors.Is(err, ErrTooExpensive) {
					t.Errorf("%v, want %v", err, a.want)
				}
			})
		}
	})
	after := children(t)
	if most := 2*maxTime + time.Duration(len(hostile()))*(2*maxTime/8+time.Second); after.time-before.time > most {
		t.Errorf("they took %v of a processor, at most %v", after.time-before.time, most)
	}
	if after.memory > 3*maxMemory && !raceEnabled {
		t.Errorf("one took %d MiB", after.memory>>20)
	}
}

type used struct {
	time   time.Duration
	memory int64 // of the largest
}

func children(t *testing.T) used {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return used{time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss << 10}
}

// TestTranslationEndsWithItsLoad checks that the process of a translation is killed and reaped when the context of its
// load ends.
func TestTranslationEndsWithItsLoad(t *testing.T) {
	said := filepath.Join(t.TempDir(), "pid")
	if err := syscall.Mkfifo(said, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the load was given up")
	pid := 0
	go func() {
		text, err := os.ReadFile(said) // waits until the translator opens it
		fmt.Sscan(string(text), &pid)
		cancel(errors.Join(stop, err))
	}()
	c := compiler([]string{must(os.Executable()), "hang", said})
	if _, err := c.Compile(ctx, "rule.ts", nil); !errors.Is(err, stop) {
		t.Error(err)
	}
	if pid == 0 || syscall.Kill(pid, 0) != syscall.ESRCH {
		t.Errorf("process %d has not ended", pid)
	}
	if _, err := c.Compile(ctx, "rule.ts", []byte("1")); !errors.Is(err, stop) {
		t.Errorf("a load whose context has ended translates: %v", err)
	}
}

// TestTranslatorHasLowPriority checks that a translator has the nice value 10, and that the kernel kills it before the
// server when memory is short.
func TestTranslatorHasLowPriority(t *testing.T) {
	self := Self()
	cmd := exec.Command(self[0], self[1:]...)
	stdin := must(cmd.StdinPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// This is more than a pipe holds: the translator reads it, after it has limited itself.
	if _, err := stdin.Write([]byte(`{"Source":"` + strings.Repeat("/", 1<<20))); err != nil {
		t.Error(err)
	}
	if adj, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid)); err != nil && runtime.GOOS == "linux" || err == nil && string(adj) != "1000\n" {
		t.Errorf("oom_score_adj is %q, %v", adj, err)
	}
	if nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, cmd.Process.Pid); err != nil || runtime.GOOS == "linux" && nice != 20-10 {
		t.Errorf("priority %d, %v", nice, err)
	}
	_ = stdin.Close()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed {
		t.Error(err)
	}
}

// TestKilledTranslatorIsNotARefusal checks that a script whose translator was killed is translated again by the next
// load, because the cause may be the machine.
func TestKilledTranslatorIsNotARefusal(t *testing.T) {
	c := compiler([]string{must(os.Executable()), "die"})
	if _, err := c.Compile(t.Context(), "rule.ts", []byte("1")); !errors.Is(err, errKilled) || !errors.Is(err, ErrTooExpensive) {
		t.Error(err)
	}
	c.cfg.Command = Self()
	if p, err := c.Compile(t.Context(), "rule.ts", []byte("1")); err != nil || string(p.Text) != "1;\n" {
		t.Error(p, err)
	}
}
