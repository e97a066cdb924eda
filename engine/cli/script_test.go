package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/script"
)

func TestMain(m *testing.M) {
	if script.IsTranslator(os.Args[1:]) {
		os.Exit(script.Answer(os.Stdin, os.Stdout))
	}
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "../..")
	testscript.Main(m, map[string]func(){
		"moot": func() { os.Exit(Run(os.DirFS(root), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the program as a user does. Besides the commands of testscript there are:
//
//	serve [FLAG ...]   starts moot serve on free ports and waits until it serves; $HTTP, $SOCKET and $ADMIN are its
//	                   addresses, and $HTTP1 and so on the first server's; commands that use the API reach the last one
//	stop               sends SIGTERM to all servers, waits, and writes their logs to serve.log
//	redis [FLAG ...]   starts redis-server; $REDIS is its address, and the file redis.address contains it
//	talk [-keep] FILE  plays a conversation of clients over TCP, see talkScript
//	hup                sends SIGHUP to the server started last
//	logged PATTERN     waits for a line in its log, after the last line that was found
//	ready FILE         writes the readiness of the server started last, with its details, into the file
//	socket FILE        sends the lines of the file over TCP and prints what the server sends until it closes
//	benched FILE RATE MEMBERS   checks the JSON of moot bench: messages per second, members of a room
//	picture FILE       checks that the file has the image format of its extension
//	export NAME PATTERN   sets $NAME to the first group of the pattern in the output of the last command
//
// The file empty.wasm is a module without functions.
func TestScripts(t *testing.T) {
	guests, err := filepath.Abs("../../guests")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir() // compiled modules are shared by all scripts and the next run
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GUESTS", guests)
			env.Setenv("XDG_CACHE_HOME", cache)
			return os.WriteFile(filepath.Join(env.WorkDir, "empty.wasm"), []byte("\x00asm\x01\x00\x00\x00"), 0o666)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":   serveScript,
			"stop":    stopScript,
			"redis":   redisScript,
			"talk":    talkScript,
			"hup":     hupScript,
			"logged":  loggedScript,
			"ready":   readyScript,
			"socket":  socketScript,
			"benched": benchedScript,
			"picture": pictureScript,
			"export":  exportScript,
		},
	})
}

// servers maps the folder of a script to the slice of its servers.
var servers sync.Map

func served(ts *testscript.TestScript) []*nodetest.Server {
	all, _ := servers.Load(ts.Getenv("WORK"))
	some, _ := all.([]*nodetest.Server)
	return some
}

const adminKey = "the-admin-key-of-all-tests"

func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	self, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(self, append([]string{"serve", "--set", "http.listen=127.0.0.1:0",
		"--set", "socket.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--set", "admin.key=" + adminKey, "--set", "drain=0s"}, args...)...)
	cmd.Args[0] = "moot" // testscript.Main runs the command of this name
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"), "GUESTS="+ts.Getenv("GUESTS"))
	s, err := nodetest.Start(cmd)
	ts.Check(err)
	ts.Defer(s.Kill)
	ts.Setenv("HTTP", s.HTTP)
	ts.Setenv("SOCKET", s.Socket)
	all := append(served(ts), s)
	servers.Store(ts.Getenv("WORK"), all)
	ts.Setenv(fmt.Sprint("HTTP", len(all)), s.HTTP)
	ts.Setenv(fmt.Sprint("SOCKET", len(all)), s.Socket)
	ts.Setenv(fmt.Sprint("ADMIN", len(all)), s.Admin)
	ts.Setenv("ADMIN", s.Admin)
	ts.Setenv("MOOT_ADMIN_URL", "http://"+s.Admin)
	ts.Setenv("MOOT_ADMIN_KEY", adminKey)
}

func latest(ts *testscript.TestScript) *nodetest.Server {
	all := served(ts)
	if len(all) == 0 {
		ts.Fatalf("nothing is served")
	}
	return all[len(all)-1]
}

func hupScript(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(latest(ts).Signal(syscall.SIGHUP))
}

func loggedScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: logged PATTERN")
	}
	fits, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(latest(ts).Log.Await(fits))
}

func exportScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: export NAME PATTERN")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("export: the output has no %s with one group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func readyScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: ready FILE")
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+latest(ts).Admin+"/health/ready", nil)
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), body, 0o666))
}

func stopScript(ts *testscript.TestScript, neg bool, args []string) {
	all := served(ts)
	servers.Delete(ts.Getenv("WORK"))
	if len(all) == 0 {
		ts.Fatalf("stop: nothing is served")
	}
	var logs strings.Builder
	for _, s := range all {
		log, err := s.Terminate()
		ts.Check(err)
		logs.WriteString(log)
	}
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), []byte(logs.String()), 0o666))
}

func socketScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: socket FILE")
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Deadline)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", ts.Getenv("SOCKET"))
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(nodetest.Deadline)))
	_, err = io.WriteString(conn, ts.ReadFile(args[0]))
	ts.Check(err)
	out, err := io.ReadAll(conn)
	ts.Check(err)
	_, err = ts.Stdout().Write(out)
	ts.Check(err)
}
