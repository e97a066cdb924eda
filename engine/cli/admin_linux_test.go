package cli

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pty gives the two ends of a terminal.
func pty(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return screen, program
}

// onTerminal starts a server whose stderr is a terminal, and gives what it logged until
// its admin port is served, and the address of that port.
func onTerminal(t *testing.T, args ...string) (log, admin string) {
	t.Helper()
	screen, program := pty(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "moot.yaml")
	write(t, file, `{ http: { listen: "127.0.0.1:0" }, socket: { listen: "" }, admin: { listen: "127.0.0.1:0" }, drain: 0s }`)
	cmd := exec.Command(self, append([]string{"serve", "-c", file}, args...)...)
	cmd.Args[0] = "moot" // what testscript.Main goes by
	cmd.Stderr = program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	var all strings.Builder
	for lines := bufio.NewScanner(screen); lines.Scan(); {
		fmt.Fprintln(&all, lines.Text())
		if m := regexp.MustCompile(`msg"?[=:]"?serving"?[ ,]"?admin"?[=:]"?([0-9.:]+)`).FindStringSubmatch(lines.Text()); m != nil {
			return all.String(), m[1]
		}
	}
	t.Fatalf("the admin port is not served:\n%s", &all)
	return "", ""
}

// Where no admin key is set one is made, shown once on the terminal, and opens the API.
func TestAMadeKeyIsShownOnATerminal(t *testing.T) {
	log, admin := onTerminal(t)
	found := regexp.MustCompile(`admin.key is not set.* key=(\S{20,})`).FindAllStringSubmatch(log, -1)
	if len(found) != 1 {
		t.Fatalf("%d keys are shown, want one:\n%s", len(found), log)
	}
	key := found[0][1]
	for key, want := range map[string]int{key: http.StatusOK, key + "x": http.StatusUnauthorized} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/api/nodes", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%d, want %d", answer.StatusCode, want)
		}
	}
}

// JSON is for programs that collect logs, on a terminal too.
func TestAMadeKeyIsNotLoggedAsJSON(t *testing.T) {
	log, _ := onTerminal(t, "--set", "log.format=json")
	if strings.Contains(log, `"key"`) || !strings.Contains(log, `"level":"WARN","msg":"admin.key is not set: the API refuses every admin`) {
		t.Errorf("the log is\n%s", log)
	}
}
