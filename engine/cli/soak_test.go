//go:build soak

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mootchat/moot/engine/node/nodetest"
)

// Numbers of members that stay and of visitors that join and leave. The environment variable SOAK is the duration.
const (
	soakSteady  = 100
	soakComing  = 100
	soakRooms   = 10
	soakSamples = 30
)

// TestMemoryStaysFlatWhileClientsComeAndGo checks that the memory of a server does not grow while clients join and leave. make
// soak runs it.
func TestMemoryStaysFlatWhileClientsComeAndGo(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK says how long, such as 10m: %v", err)
	}
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "moot"), ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var rooms []string
	for i := range soakRooms {
		rooms = append(rooms, fmt.Sprintf("r%d", i))
	}
	nodetest.Write(t, filepath.Join(dir, "soak.yaml"), fmt.Sprintf(`
limits: { verbsPerSecond: 1000 }
modules:
  announcer: { builtin: announcer }
  blocklist: { builtin: blocklist }
tenants:
  default:
    rooms: { starting: [%s] }
    chain:
      - { module: blocklist, config: { words: [darn] } }
      - { module: announcer, grants: [emit], onError: allow }
`, strings.Join(rooms, ", ")))
	s := startServer(t, dir, "./moot", "serve", "-c", "soak.yaml", "--set", "http.listen=127.0.0.1:0", "--set", "socket.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--set", "drain=0s")

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var clients sync.WaitGroup
	var heard, came atomic.Int64
	for i := range soakSteady {
		clients.Go(func() { soakMember(ctx, t, s.HTTP, i, &heard) })
	}
	for range soakComing {
		clients.Go(func() {
			for ctx.Err() == nil {
				soakVisitor(ctx, t, s.HTTP)
				came.Add(1)
			}
		})
	}
	var rss []int
	for tick := time.Tick(length / soakSamples); len(rss) < soakSamples-1; {
		select {
		case <-tick:
			rss = append(rss, rssOf(t, s.PID()))
			t.Logf("%d KiB, %d visits, %d messages heard", rss[len(rss)-1], came.Load(), heard.Load())
		case <-ctx.Done():
			t.Fatalf("only %d samples", len(rss))
		}
	}
	clients.Wait()
	s.Stop(t)
	if came.Load() == 0 || heard.Load() == 0 {
		t.Fatalf("%d visits, %d messages: nothing happened", came.Load(), heard.Load())
	}
	third := len(rss) / 3
	if early, late := mean(rss[third:2*third]), mean(rss[2*third:]); late > early*11/10 {
		t.Errorf("memory grows: %d KiB in the middle third, %d KiB in the last: %v", early, late, rss)
	}
}

// soakMember stays in a room, receives messages, and sends one twice a second.
func soakMember(ctx context.Context, t *testing.T, address string, i int, heard *atomic.Int64) {
	room := fmt.Sprintf("r%d", i%soakRooms)
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/ws", nil)
	if err != nil {
		t.Errorf("dial: %v", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	go func() {
		_ = conn.Write(ctx, websocket.MessageText, request("roomAdd", room, ""))
		for tick := time.Tick(500 * time.Millisecond); ; {
			select {
			case <-tick:
				_ = conn.Write(ctx, websocket.MessageText, request("say", room, "well, darn it")) // the reader reports the error
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			if ctx.Err() == nil {
				t.Errorf("a member lost its connection: %v", err)
			}
			return
		}
		heard.Add(1)
	}
}

// soakVisitor connects, joins a room, sends a message and disconnects: with quit, after it has left, or by closing the connection.
func soakVisitor(ctx context.Context, t *testing.T, address string) {
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/ws", nil)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("dial: %v", err)
		}
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	room := fmt.Sprintf("r%d", rand.IntN(soakRooms))
	frames := [][]byte{request("roomAdd", room, ""), request("say", room, "hello"), request("roomLeave", room, ""), request("quit", "", "")}
	for _, f := range frames[:1+rand.IntN(len(frames))] {
		if conn.Write(ctx, websocket.MessageText, f) != nil {
			return
		}
	}
	staying, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
	defer cancel()
	for {
		if _, _, err := conn.Read(staying); err != nil {
			return
		}
	}
}

func request(event, room, message string) []byte {
	b, err := json.Marshal(map[string]any{"event": event, "room": room, "message": message, "messageId": 1})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return b
}

// rssOf returns the resident memory of a process, in KiB.
func rssOf(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS in /proc: the soak needs Linux")
	return 0
}

func mean(n []int) int {
	sum := 0
	for _, v := range n {
		sum += v
	}
	return sum / max(1, len(n))
}
