package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// stamp returns a module that adds its name and n to each message, at onSayReceive and at say.
func stamp(name string, n int) []byte {
	const exchange = 1 << 16
	m := new(asm.Module)
	m.Memory(2, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Custom(abi.ManifestSection, []byte(`{"vary": []}`))
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.I32(exchange))
	put := func(slot, n int) asm.Code { return asm.I32(exchange) + asm.I32(n) + asm.Store32(slot) }
	for i, hook := range []string{"receive", "say"} {
		at, extra := 8+i*1024, fmt.Sprintf(`{"%s-%s":%d}`, hook, name, n)
		m.Data(at, []byte(extra))
		m.Func(map[string]string{"receive": "on_say_receive", "say": "on_say"}[hook], "i32 -> i32",
			put(abi.ResultExtra, at)+put(abi.ResultExtra+4, len(extra))+asm.I32(abi.Rewritten))
	}
	return m.Wasm()
}

// stamps writes a configuration with two modules that add n.
func stamps(t *testing.T, dir string, n int) (file string) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		nodetest.Write(t, filepath.Join(dir, name+".wasm"), string(stamp(name, n)))
	}
	file = filepath.Join(dir, "moot.yaml")
	nodetest.Write(t, file, fmt.Sprintf(`
http: { listen: "127.0.0.1:0" }
socket: { listen: "127.0.0.1:0" }
admin: { listen: "127.0.0.1:0", key: %q }
drain: 0s
limits: { verbsPerSecond: 100000, moduleCPU: 1, chainTimeout: 10s }
modules: { a: { file: a.wasm }, b: { file: b.wasm } }
tenants:
  default:
    rooms: { starting: [hall] }
    chain:
      - { module: a, timeout: 10s }
      - { module: b, timeout: 10s }
`, adminKey))
	return file
}

// line is a line that the client receives: a message has a text, an answer has none.
type line struct {
	Error    string `json:"error"`
	Message  string `json:"message"`
	ReceiveA *int   `json:"receive-a"`
	ReceiveB *int   `json:"receive-b"`
	SayA     *int   `json:"say-a"`
	SayB     *int   `json:"say-b"`
}

// TestAHundredReloadsLoseNoMessage checks that a hundred reloads lose no message and no
// connection, and that each run of a chain uses one revision.
func TestAHundredReloadsLoseNoMessage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache")) // cache of modules that no other test loads
	s := inProcess(t, stamps(t, dir, 0))
	conn, err := net.Dial("tcp", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(nodetest.Deadline))
	heard := bufio.NewScanner(conn)
	fmt.Fprintln(conn, "roomAdd hall")
	for range 3 { // welcome, id or answer
		if !heard.Scan() {
			t.Fatal("no answer")
		}
		if strings.Contains(heard.Text(), `"data":true`) {
			break
		}
	}

	const reloads = 100
	stop, said := make(chan struct{}), make(chan int, 1)
	seen := make(chan int, reloads+1) // each revision that a received message has
	begin := time.Now()
	go talk(conn, stop, said)
	go func() {
		defer close(stop)
		ask, err := client.New("http://"+s.Admin, adminKey)
		if err != nil {
			t.Error(err)
			return
		}
		for n := 1; n <= reloads; n++ {
			stamps(t, dir, n)
			if results, err := ask.Reload(t.Context(), false); err != nil || len(results) != 1 || !results[0].OK {
				t.Errorf("reload %d: %+v, %v", n, results, err)
				return
			}
			for heard := -1; heard < n; { // each revision has a message
				select {
				case heard = <-seen:
				case <-time.After(nodetest.Deadline):
					t.Errorf("no message of revision %d", n)
					return
				}
			}
		}
	}()

	messages, answers, revisions, total := 0, 0, map[int]bool{}, -1
	for total < 0 || messages < total || answers < total {
		if !heard.Scan() {
			t.Fatalf("the connection ended after %d messages and %d answers: %v\n%s", messages, answers, heard.Err(), &s.Log)
		}
		var l line
		if err := json.Unmarshal(heard.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", heard.Text(), err)
		}
		switch {
		case l.Error != "":
			t.Fatalf("a say failed: %s", heard.Text())
		case l.Message == "":
			answers++
		case l.Message != fmt.Sprint("m", messages):
			t.Fatalf("message %d is missing: received %s", messages, heard.Text())
		case l.ReceiveA == nil || l.ReceiveB == nil || l.SayA == nil || l.SayB == nil:
			t.Fatalf("a module was not asked: %s", heard.Text())
		case *l.ReceiveA != *l.ReceiveB || *l.SayA != *l.SayB:
			t.Fatalf("a chain saw two revisions: %s", heard.Text())
		default:
			if !revisions[*l.ReceiveA] {
				revisions[*l.ReceiveA] = true
				seen <- *l.ReceiveA
			}
			messages++
		}
		if total < 0 {
			select {
			case total = <-said:
			default:
			}
		}
	}
	took := time.Since(begin)
	if len(revisions) < reloads {
		t.Errorf("messages saw %d revisions, want each of %d reloads", len(revisions), reloads)
	}
	t.Logf("%d messages through %d reloads in %v: %.0f a second, %d revisions seen", messages, reloads, took, float64(messages)/took.Seconds(), len(revisions))
}

// talk sends m0, m1, ... at a thousand per second. It sends the number of messages to said before the
// last message.
func talk(conn net.Conn, stop <-chan struct{}, said chan<- int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for n := 0; ; {
		select {
		case <-stop:
			said <- n + 1
			fmt.Fprintf(conn, "say hall m%d\n", n)
			return
		case <-tick.C:
		}
		for due := int(time.Since(begin) / time.Millisecond); n < due; n++ { // a busy machine skips ticks
			fmt.Fprintf(conn, "say hall m%d\n", n)
		}
	}
}
