package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// oddities creates files that are not regular, and returns their kinds by path.
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

// TestIrregularFilesAreErrorsInEverySetting checks that a file that is not regular is an error at
// each setting, and that the check does not wait for the file.
func TestIrregularFilesAreErrorsInEverySetting(t *testing.T) {
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
			nodetest.Write(t, file, text)
			if what == "itself" {
				file = path
			}
			cfg, err := ReadConfig(t.Context(), Config{File: file})
			if err == nil {
				err = CheckConfig(t.Context(), cfg)
			}
			if want := "is not a regular file but " + kind; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s is %s: %v, want %q", what, path, err, want)
			}
		}
	}
	// A node reads the certificates for Redis before it connects.
	for path, kind := range map[string]string{filepath.Join(dir, "pipe"): "a named pipe", "/dev/zero": "a device"} {
		for _, keys := range []string{"ca: %[1]q", "cert: %[1]q, key: %[1]q"} {
			file := filepath.Join(dir, "moot.yaml")
			nodetest.Write(t, file, fmt.Sprintf("cluster: { backend: redis, redis: { tls: true, "+keys+" } }", path))
			_, err := Start(t.Context(), Config{File: file, Log: t.Output()})
			if want := "is not a regular file but " + kind; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of Redis is %s: %v, want %q", keys, path, err, want)
			}
		}
	}
}

// TestAServerSurvivesAnIrregularFile checks that a reload with a file that is not regular is refused, that the next reload
// succeeds, and that the node can end during such a reload.
func TestAServerSurvivesAnIrregularFile(t *testing.T) {
	dir := t.TempDir()
	odd := oddities(t, dir)
	good := map[string]string{"tenant.yaml": "", "rule.wasm": "\x00asm\x01\x00\x00\x00"}
	for name, text := range good {
		nodetest.Write(t, filepath.Join(dir, name), text)
	}
	hup := make(chan os.Signal, 1)
	s := startNode(t, Config{File: configured(t, dir, "include: [tenant.yaml]\nmodules: { calm: { file: rule.wasm } }"), Reload: hup})
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
			hup <- syscall.SIGHUP
			if err := s.Log.Await(regexp.MustCompile("refused.*is not a regular file but " + kind)); err != nil {
				t.Fatal(err)
			}
			nodetest.Write(t, filepath.Join(dir, "good "+name), text)
			swap(name, "good "+name)
			hup <- syscall.SIGHUP
			if err := s.Log.Await(regexp.MustCompile(`msg=reload revision=`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap("tenant.yaml", filepath.Join(dir, "pipe"))
	hup <- syscall.SIGHUP // the test and its node end during this reload
}

// silent starts a TCP server that accepts connections and sends nothing.
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

// TestAStartEndsWithItsContext checks that a node that is still starting ends with its context
// while it waits for a server.
func TestAStartEndsWithItsContext(t *testing.T) {
	for name, config := range map[string]string{
		"a registry": "modules: { m: { oci: 'localhost:%s/rules/calm:1' } }",
		"a server":   "modules: { m: { url: 'https://127.0.0.1:%s/calm.wasm', sha256: '" + strings.Repeat("0", 64) + "' } }",
		"Redis":      "cluster: { backend: redis, redis: { addresses: ['127.0.0.1:%s'] } }",
	} {
		t.Run(name, func(t *testing.T) {
			address, met := silent(t)
			_, port, _ := net.SplitHostPort(address)
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			ctx, end := context.WithCancel(t.Context())
			go func() {
				<-met
				end()
			}()
			var log nodetest.Log
			if _, err := Start(ctx, Config{File: configured(t, t.TempDir(), fmt.Sprintf(config, port)), Log: &log}); !errors.Is(err, ErrStopped) {
				t.Errorf("it ended with %v:\n%s", err, &log)
			}
		})
	}
}

// TestHangingPeersDoNotDelayTheEndOfANode checks that the end of a node is not delayed by a key set or a collector that
// does not answer, or by a client of a recording.
func TestHangingPeersDoNotDelayTheEndOfANode(t *testing.T) {
	keys, met := silent(t)
	collector, _ := silent(t)
	t.Run("serve", func(t *testing.T) { // the end of this subtest ends the node
		s := inProcess(t, configured(t, t.TempDir(), fmt.Sprintf(`
tenants: { default: { auth: { jwt: { jwks: "http://%s/keys" } } } }
telemetry: { endpoint: "http://%s", sample: 1 }
`, keys, collector)))
		select {
		case <-met:
		case <-time.After(nodetest.Deadline):
			t.Fatalf("nobody asks for the keys:\n%s", &s.Log)
		}
		reader, err := net.Dial("tcp", s.Admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { reader.Close() })
		fmt.Fprintf(reader, "GET /api/tenants/default/record HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", adminKey)
	})
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
					e, answer := newShutdown(), make(chan struct{})
					ctx, end := context.WithCancel(t.Context())
					var told time.Time
					err := e.bound(ctx, func() error {
						defer e.track("modules")()
						if test.serving {
							e.serving(func() time.Duration { return 30 * time.Second })
						}
						e.track("clients")()
						time.Sleep(time.Hour)
						told = time.Now()
						if how == 0 {
							end()
						} else {
							e.begin()
							e.begin()
						}
						defer e.track("redis")()
						<-answer
						return nil
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
		e, failed := newShutdown(), errors.New("failed")
		ctx, end := context.WithCancel(t.Context())
		end()
		if err := e.bound(ctx, func() error { time.Sleep(4 * time.Second); return failed }); err != failed {
			t.Errorf("got %v", err)
		}
	})
}
