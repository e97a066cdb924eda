package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// oddities makes what is not a regular file, by what it is called.
func oddities(t *testing.T, dir string) map[string]string {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("pipe", at("link")), os.Mkdir(at("dir"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return map[string]string{at("pipe"): "a named pipe", at("link"): "a named pipe", at("dir"): "a directory", at("socket"): "a socket", "/dev/zero": "a device", "/dev/tty": "a device"}
}

// TestAnOddFileIsAnErrorWhereverItIsNamed: nothing waits for what is not a regular file.
func TestAnOddFileIsAnErrorWhereverItIsNamed(t *testing.T) {
	dir := t.TempDir()
	for path, kind := range oddities(t, dir) {
		script := path
		if strings.HasPrefix(path, "/dev") {
			script = filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
			if err := os.Symlink(path, script+".js"); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Symlink(path, path+".js"); err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{
			"module":  fmt.Sprintf("modules: { m: { file: %q } }", path),
			"script":  fmt.Sprintf("modules: { m: { script: %q } }", script+".js"),
			"value":   fmt.Sprintf("admin: { key: '${file:%s}' }", path),
			"key set": fmt.Sprintf("tenants: { default: { auth: { jwt: { jwks: %q } } } }", path),
			"cert":    fmt.Sprintf("http: { tls: { cert: %q, key: %q } }", path, path),
			"include": fmt.Sprintf("include: [%q]", path),
			"itself":  "",
		} {
			file := filepath.Join(dir, "moot.yaml")
			write(t, file, text)
			if what == "itself" {
				file = path
			}
			var out, err bytes.Buffer
			code := Run([]string{"check", "-c", file}, nil, &out, &err)
			if want := "is not a regular file but " + kind; code == exitOK || !strings.Contains(err.String(), want) {
				t.Errorf("%s is %s: exit %d, want %q:\n%s%s", what, path, code, want, &out, &err)
			}
		}
	}
	// Redis is not reached before its certificates are read.
	for path, kind := range map[string]string{filepath.Join(dir, "pipe"): "a named pipe", "/dev/zero": "a device"} {
		for _, keys := range []string{"ca: %[1]q", "cert: %[1]q, key: %[1]q"} {
			file := filepath.Join(dir, "moot.yaml")
			write(t, file, fmt.Sprintf("cluster: { backend: redis, redis: { tls: true, "+keys+" } }", path))
			var out, err bytes.Buffer
			code := Run([]string{"serve", "-c", file}, nil, &out, &err)
			if want := "is not a regular file but " + kind; code == exitOK || !strings.Contains(err.String(), want) {
				t.Errorf("%s of Redis is %s: exit %d, want %q:\n%s%s", keys, path, code, want, &out, &err)
			}
		}
	}
}

// moot is the program in a directory, with free ports.
func moot(t *testing.T, dir, config string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "moot.yaml")
	write(t, file, "http: { listen: '127.0.0.1:0' }\nsocket: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0', key: "+adminKey+" }\ndrain: 0s\n"+config)
	cmd := exec.Command(self, append([]string{"serve", "-c", file}, args...)...)
	cmd.Args[0], cmd.Dir = "moot", dir
	return cmd
}

// TestAServerSurvivesAnOddFile: each reload that meets one is refused, the next good one is
// taken, and SIGTERM ends the server.
func TestAServerSurvivesAnOddFile(t *testing.T) {
	dir := t.TempDir()
	odd := oddities(t, dir)
	good := map[string]string{"tenant.yaml": "", "rule.wasm": "\x00asm\x01\x00\x00\x00"}
	for name, text := range good {
		write(t, filepath.Join(dir, name), text)
	}
	s, err := start(moot(t, dir, "include: [tenant.yaml]\nmodules: { calm: { file: rule.wasm } }"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	swap := func(name, to string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.Symlink(to, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, kind := range odd {
		for name, text := range good {
			swap(name, path)
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			if err := s.log.await(regexp.MustCompile("refused.*is not a regular file but " + kind)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "good "+name), text)
			swap(name, "good "+name)
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			if err := s.log.await(regexp.MustCompile(`msg=reload revision=`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap("tenant.yaml", filepath.Join(dir, "pipe"))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
}

// silent is a TCP server that takes connections and says nothing.
func silent(t *testing.T) (address string, met <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	seen := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			select {
			case seen <- struct{}{}:
			default:
			}
		}
	}()
	return l.Addr().String(), seen
}

// TestSIGTERMEndsAStart: what is waited for while a server starts holds nobody up.
func TestSIGTERMEndsAStart(t *testing.T) {
	for name, config := range map[string]string{
		"a registry": "modules: { m: { oci: 'localhost:%s/rules/calm:1' } }",
		"a server":   "modules: { m: { url: 'https://127.0.0.1:%s/calm.wasm', sha256: '" + strings.Repeat("0", 64) + "' } }",
		"Redis":      "cluster: { backend: redis, redis: { addresses: ['127.0.0.1:%s'] } }",
	} {
		t.Run(name, func(t *testing.T) {
			address, met := silent(t)
			_, port, _ := net.SplitHostPort(address)
			cmd := moot(t, t.TempDir(), fmt.Sprintf(config, port))
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
			var log bytes.Buffer
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-met:
			case err := <-ended:
				t.Fatalf("it ended with %v:\n%s", err, &log)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil || !strings.Contains(log.String(), "stopped before it served") {
				t.Errorf("it ended with %v:\n%s", err, &log)
			}
		})
	}
}

// TestSIGTERMEndsWhateverHangs: a key set, a collector of traces and who reads a recording.
func TestSIGTERMEndsWhateverHangs(t *testing.T) {
	keys, met := silent(t)
	collector, _ := silent(t)
	s, err := start(moot(t, t.TempDir(), fmt.Sprintf(`
tenants: { default: { auth: { jwt: { jwks: "http://%s/keys" } } } }
telemetry: { endpoint: "http://%s", sample: 1 }
`, keys, collector)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	select {
	case <-met:
	case <-time.After(deadline):
		t.Fatalf("nobody asks for the keys:\n%s", &s.log)
	}
	reader, err := net.Dial("tcp", s.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	fmt.Fprintf(reader, "GET /api/tenants/default/record HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", adminKey)
	s.stop(t)
}

func TestAnEndIsBoundedAndNamesWhatDidNotEnd(t *testing.T) {
	for name, test := range map[string]struct {
		serving bool
		after   time.Duration
		want    string
	}{
		"while it starts": {false, 5 * time.Second, "the shutdown did not finish within 5s, the process ends without it; still running: modules, redis"},
		"while it serves": {true, 35 * time.Second, "the shutdown did not finish within 35s, the process ends without it; still running: modules, redis"},
	} {
		for how := range 2 {
			t.Run(fmt.Sprint(name, " ", []string{"by a signal", "by itself"}[how]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e, answer := newEnding(), make(chan struct{})
					ctx, end := context.WithCancel(t.Context())
					var told time.Time
					err := e.run(ctx, func() error {
						defer e.doingNow("modules")()
						if test.serving {
							e.serving(func() time.Duration { return 30 * time.Second })
						}
						_ = e.do("clients", func() error { return nil })
						time.Sleep(time.Hour)
						told = time.Now()
						if how == 0 {
							end()
						} else {
							e.begin()
							e.begin()
						}
						return e.do("redis", func() error { <-answer; return nil })
					})
					if err == nil || err.Error() != test.want {
						t.Errorf("got %v, want %s", err, test.want)
					}
					if took := time.Since(told); took != test.after {
						t.Errorf("it took %v", took)
					}
					close(answer)
					end()
				})
			})
		}
	}
}

func TestAnEndThatComesInTimeIsNotBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, failed := newEnding(), errors.New("failed")
		ctx, end := context.WithCancel(t.Context())
		end()
		if err := e.run(ctx, func() error { time.Sleep(4 * time.Second); return failed }); err != failed {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoOutputShowsWhatWasFilledIn: not of a check, nor of a start, a reload or a trial.
func TestNoOutputShowsWhatWasFilledIn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"s": "hunter2", "u": "https://hunter2.invalid/calm.wasm", "o": "localhost:1/hunter2/calm:1", "port": "hunter2.invalid:80", "r": "hunter2.invalid:6379", "x.wasm": "hunter2"} {
		write(t, filepath.Join(dir, name), text)
	}
	sum := "'" + strings.Repeat("0", 64) + "'"
	blocklist, err := filepath.Abs("../../guests/blocklist/blocklist.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"module":     "modules: { m: { file: '${file:s}' } }",
		"in a path":  "modules: { m: { file: '/${file:s}/x.wasm' } }",
		"script":     "modules: { m: { script: '${file:s}.js' } }",
		"url":        "modules: { m: { url: '${file:u}', sha256: " + sum + " } }",
		"registry":   "modules: { m: { oci: '${file:o}' } }",
		"key set":    "tenants: { default: { auth: { jwt: { jwks: '${file:s}' } } } }",
		"public key": "tenants: { default: { auth: { jwt: { publicKey: '${file:s}' } } } }",
		"secret":     "tenants: { default: { auth: { jwt: { secret: '${file:s}' } } } }",
		"cert":       "http: { tls: { cert: '${file:s}', key: '${file:s}' } }",
		"listener":   "http: { listen: '${file:port}' }",
		"Redis":      "cluster: { backend: redis, publishTimeout: 100ms, redis: { addresses: ['${file:r}'] } }",
		"Redis's ca": "cluster: { backend: redis, redis: { tls: true, ca: '${file:s}' } }",
		"a config":   fmt.Sprintf("modules: { b: { file: %q } }\ntenants: { default: { chain: [{ module: b, config: { words: [x], action: '${file:s}' } }] } }", blocklist),
		"a key":      fmt.Sprintf("modules: { b: { file: %q } }\ntenants: { default: { chain: [{ module: b, config: '${file:s}' }] } }", blocklist),
	} {
		for _, command := range []string{"check", "serve"} {
			if command == "check" && (what == "listener" || strings.HasPrefix(what, "Redis")) {
				continue // which opens neither
			}
			file := filepath.Join(dir, "moot.yaml")
			write(t, file, text)
			var out, err bytes.Buffer
			if code := Run([]string{command, "-c", file}, nil, &out, &err); code == exitOK || strings.Contains(out.String()+err.String(), "hunter2") {
				t.Errorf("%s of a filled %s: exit %d\n%s%s", command, what, code, &out, &err)
			}
		}
	}
}
