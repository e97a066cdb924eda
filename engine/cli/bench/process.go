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

// usage has the resources that a process uses.
type usage struct {
	cpu    float64 // seconds, user and system, since its start
	rss    int64   // bytes
	writes int64   // write system calls since its start; 0: unknown, as for a process with io_uring
}

// usageOf reads a process from /proc, which only Linux has.
func usageOf(pid int) (usage, error) {
	if runtime.GOOS != "linux" {
		return usage{}, fmt.Errorf("pid: processes are measured by /proc, which %s does not have", runtime.GOOS)
	}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	status, err2 := os.ReadFile(dir + "/status")
	io, _ := os.ReadFile(dir + "/io") // not readable for processes of other users
	switch u := parseUsage(stat, status, io); {
	case errors.Is(err, fs.ErrNotExist), err == nil && u.rss == 0:
		return usage{}, fmt.Errorf("pid: no process %d is running", pid)
	case err != nil || err2 != nil:
		return usage{}, fmt.Errorf("pid: %w", errors.Join(err, err2))
	case hasRing(dir):
		u.writes = 0
		return u, nil
	default:
		return u, nil
	}
}

// hasRing reports whether the process has an io_uring. /proc/PID/io does not count what is written with it.
func hasRing(dir string) bool {
	files, _ := os.ReadDir(dir + "/fd") // not readable for processes of other users, whose writes are unknown then
	for _, f := range files {
		if to, _ := os.Readlink(dir + "/fd/" + f.Name()); to == "anon_inode:[io_uring]" {
			return true
		}
	}
	return false
}

// ticks is the number of units of CPU time per second in /proc. It is USER_HZ, which is 100 on all platforms of Go.
const ticks = 100

// parseUsage parses /proc/PID/stat, status and io, see proc(5). In stat the name of
// the program is in parentheses and may have any characters; utime and stime are the
// 12th and 13th field after it. The rss of a zombie process is 0, because its status
// has no VmRSS.
func parseUsage(stat, status, io []byte) (u usage) {
	if fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(fields) > 12 {
		user, _ := strconv.ParseFloat(string(fields[11]), 64)
		system, _ := strconv.ParseFloat(string(fields[12]), 64)
		u.cpu = (user + system) / ticks
	}
	u.rss = numberOf("VmRSS:", status) << 10
	u.writes = numberOf("syscw:", io)
	return u
}

// numberOf returns the number after a name at the beginning of a line; 0 if there is none.
func numberOf(name string, text []byte) int64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(value); len(f) > 0 {
				n, _ := strconv.ParseInt(string(f[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}

// hostTime returns the busy and the total time of the processors of this host, in ticks since its start. Both are 0 if they
// are unknown.
func hostTime() (busy, all float64) {
	stat, _ := os.ReadFile("/proc/stat")
	return parseHostTime(stat)
}

// parseHostTime parses the first line of /proc/stat, see proc(5). Its fourth number is
// the idle time, and the fifth is the time of waiting for disks. The first two numbers
// already contain the last two.
func parseHostTime(stat []byte) (busy, all float64) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0
	}
	for i, f := range fields[1:9] {
		n, _ := strconv.ParseFloat(string(f), 64)
		all += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, all
}
