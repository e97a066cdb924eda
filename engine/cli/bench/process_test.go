package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestUsageIsReadFromProc(t *testing.T) {
	stat := "4242 (moot (a) b) S 1 4242 4242 0 -1 4194560 9 8 7 6 1234 66 5 4 20 0 9 0 100 200 300\n"
	status := "Name:\tmoot\nVmPeak:\t  999 kB\nVmRSS:\t   2048 kB\nThreads:\t9\n"
	io := "rchar: 323934931\nwchar: 323929600\nsyscr: 632687\nsyscw: 632675\nread_bytes: 0\n"
	if got, want := parseUsage([]byte(stat), []byte(status), []byte(io)), (usage{13, 2 << 20, 632675}); got != want {
		t.Errorf("usage is %+v; want %+v", got, want)
	}
	for _, broken := range []string{"", ")", "1 (x", "1 (x) S 1 2"} {
		if got := parseUsage([]byte(broken), []byte("VmRSS:\nVmRSS"), []byte("syscw:\n")); got != (usage{}) {
			t.Errorf("of %q usage is %+v", broken, got)
		}
	}
}

func TestHostTimeIsReadFromProc(t *testing.T) {
	busy, all := parseHostTime([]byte("cpu  100 20 30 400 50 6 7 8 90 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n"))
	if busy != 171 || all != 621 {
		t.Errorf("%v busy of %v; want 171 of 621", busy, all)
	}
	for _, broken := range []string{"", "cpu  1 2 3\n", "intr 1 2 3 4 5 6 7 8 9\n"} {
		if busy, all := parseHostTime([]byte(broken)); busy != 0 || all != 0 {
			t.Errorf("of %q it is %v of %v", broken, busy, all)
		}
	}
}

func TestUsageOfAProcess(t *testing.T) {
	ended := exec.Command("go", "version")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	u, err := usageOf(os.Getpid())
	_, gone := usageOf(ended.Process.Pid)
	if runtime.GOOS != "linux" {
		if err == nil || !strings.Contains(err.Error(), runtime.GOOS) {
			t.Errorf("usage without /proc: %v", err)
		}
		return
	}
	if err != nil || u.rss == 0 || u.writes == 0 {
		t.Errorf("usage of this process: %+v, %v", u, err)
	}
	if gone == nil || !strings.Contains(gone.Error(), "no process "+strconv.Itoa(ended.Process.Pid)+" is running") {
		t.Errorf("usage of a process that has ended: %v", gone)
	}
}

// TestAProcessWithIOUringHasAnUnknownNumberOfWrites checks that a ring is found among the files of a process.
func TestAProcessWithIOUringHasAnUnknownNumberOfWrites(t *testing.T) {
	dir := t.TempDir()
	for i, to := range []string{"/dev/null", "anon_inode:[eventpoll]", "anon_inode:[io_uring]"} {
		if hasRing(dir) {
			t.Errorf("there is a ring among %d files, before there is one", i)
		}
		if err := errors.Join(os.MkdirAll(dir+"/fd", 0o777), os.Symlink(to, fmt.Sprint(dir, "/fd/", i))); err != nil {
			t.Fatal(err)
		}
	}
	if !hasRing(dir) {
		t.Error("the ring is not found")
	}
}
