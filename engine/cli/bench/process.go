package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
)

// usage is what a process has used.
type usage struct {
	cpu float64 // seconds, user and system, since it began
	rss int64   // bytes
}

// usageOf reads a process from /proc, which only Linux has.
func usageOf(pid int) (usage, error) {
	if runtime.GOOS != "linux" {
		return usage{}, fmt.Errorf("pid: processes are measured by /proc, which %s does not have", runtime.GOOS)
	}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	status, err2 := os.ReadFile(dir + "/status")
	switch u := parseUsage(stat, status); {
	case errors.Is(err, fs.ErrNotExist), err == nil && u.rss == 0:
		return usage{}, fmt.Errorf("pid: no process %d is running", pid)
	case err != nil || err2 != nil:
		return usage{}, fmt.Errorf("pid: %w", errors.Join(err, err2))
	default:
		return u, nil
	}
}

// ticks are the units of CPU time in /proc per second: USER_HZ, which is 100 on
// all that Go runs on.
const ticks = 100

// parseUsage reads /proc/PID/stat and /proc/PID/status, see proc(5). The name of
// the program, in parentheses, may hold anything; behind it utime and stime are
// the 12th and 13th field. A process that has ended, and is not yet waited for,
// has no VmRSS: it is 0.
func parseUsage(stat, status []byte) (u usage) {
	if fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(fields) > 12 {
		user, _ := strconv.ParseFloat(string(fields[11]), 64)
		system, _ := strconv.ParseFloat(string(fields[12]), 64)
		u.cpu = (user + system) / ticks
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			if f := bytes.Fields(value); len(f) > 0 {
				kB, _ := strconv.ParseInt(string(f[0]), 10, 64)
				u.rss = kB << 10
			}
		}
	}
	return u
}
