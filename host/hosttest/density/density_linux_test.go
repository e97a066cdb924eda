package density

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const key = "a key of the admin for this test"

// node is a running server.
type node struct {
	cmd         *exec.Cmd
	http, admin string
	start       time.Duration // until it served
}

// program is a built server with a cache that contains the compiled guests.
type program struct {
	file, dir, guests string
}

func build(t testing.TB) *program {
	t.Helper()
	guests, err := filepath.Abs("../../../guests")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{dir: t.TempDir(), guests: guests}
	p.file = filepath.Join(p.dir, "moot")
	if out, err := exec.Command("go", "build", "-o", p.file, "github.com/mootchat/moot").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.serve(t, 1).stop(t)
	return p
}

// config returns a configuration of n tenants. Each has three rules with their own configs.
func (p *program) config(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `cache: %s
http: { listen: "127.0.0.1:0", demo: false }
socket: { listen: "" }
admin: { listen: "127.0.0.1:0", key: %q }
modules:
`, p.dir, key)
	for _, name := range []string{"gate", "blocklist", "announcer"} {
		fmt.Fprintf(&b, "  %s: { file: %s/%s/%s.wasm }\n", name, p.guests, name, name)
	}
	b.WriteString("tenants:\n")
	for i := range n {
		fmt.Fprintf(&b, `  t%d:
    match: { host: t%d.example }
    rooms: { starting: [hall] }
    chain:
      - { module: gate, timeout: 10s, grants: ["properties:role"], config: { rooms: ["secure*"], tokens: { letmein%d: member } } }
      - { module: blocklist, timeout: 10s, config: { words: [darn%d] } }
      - { module: announcer, timeout: 10s, grants: [emit], config: { join: "%d has a guest" } }
`, i, i, i, i, i)
	}
	return b.String()
}

var listening = regexp.MustCompile(`msg=serving (http|admin)=(\S+)`)

// serve starts a server with n tenants.
func (p *program) serve(t testing.TB, n int) *node {
	t.Helper()
	file := filepath.Join(p.dir, fmt.Sprintf("%d.yaml", n))
	if err := os.WriteFile(file, []byte(p.config(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s := &node{cmd: exec.Command(p.file, "serve", "-c", file)}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() { s.stop(t) })
	t.Cleanup(stop)
	lines, said := bufio.NewScanner(stderr), new(bytes.Buffer)
	for s.http == "" || s.admin == "" {
		if !lines.Scan() {
			t.Fatalf("a server with %d tenants does not start:\n%.4000s", n, said)
		}
		fmt.Fprintln(said, lines.Text())
		for _, found := range listening.FindAllStringSubmatch(lines.Text(), -1) {
			if found[1] == "http" {
				s.http = found[2]
			} else {
				s.admin = found[2]
			}
		}
	}
	s.start = time.Since(begin)
	go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the process
	return s
}

func (s *node) stop(t testing.TB) {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ends with: %v", err)
	}
}

// memory returns the proportional set size of the server, in bytes.
func (s *node) memory(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^Pss: +(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no Pss in\n%s", text)
	}
	kilobytes, _ := strconv.Atoi(string(found[1]))
	return kilobytes << 10
}

// metric returns the sum of a metric over all of its series.
func (s *node) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer.Status, err)
	}
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}

// talk joins a room of a tenant and sends a word that the tenant's blocklist masks.
func (s *node) talk(t testing.TB, tenant int) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+s.http+"/ws", &websocket.DialOptions{Host: fmt.Sprintf("t%d.example", tenant)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	begin := time.Now()
	for _, text := range []string{`{"event":"roomAdd","room":"hall"}`, fmt.Sprintf(`{"event":"say","room":"hall","message":"well, darn%d"}`, tenant)} {
		if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, frame, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(frame, []byte("well, ***")) {
			return time.Since(begin)
		}
		if bytes.Contains(frame, []byte("well, darn")) || bytes.Contains(frame, []byte(`"error"`)) {
			t.Fatalf("t%d: %s", tenant, frame)
		}
	}
}

// TestSilentTenantsCostLittle starts a node with 100 tenants and one with 300. It checks that silent tenants have no
// instances and need little memory, and that tenants whose clients send messages are served.
func TestSilentTenantsCostLittle(t *testing.T) {
	p := build(t)
	few := p.serve(t, 100)
	less := few.memory(t)
	few.stop(t)
	many := p.serve(t, 300)
	if n := many.metric(t, "moot_module_instances"); n != 0 {
		t.Errorf("nobody has said anything, and there are %v instances", n)
	}
	more := many.memory(t)
	t.Logf("100 tenants: %d MB, %v; 300: %d MB, %v", less>>20, few.start, more>>20, many.start)
	if each := (more - less) / 200; each > 200<<10 {
		t.Errorf("a silent tenant with three rules costs %d bytes", each)
	}
	if more > 400<<20 {
		t.Errorf("300 silent tenants cost %d bytes", more)
	}
	for tenant := range 10 {
		many.talk(t, tenant*30)
	}
	if n := many.metric(t, "moot_module_instances"); n < 10*2 || n > 10*3*2 {
		t.Errorf("10 tenants have talked, and there are %v instances", n)
	}
}

// BenchmarkTenants measures the start of a node, the first message of a tenant, and the memory of the node before and
// after a hundred tenants have sent messages.
func BenchmarkTenants(b *testing.B) {
	p := build(b)
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var start, first time.Duration
			var silent, talking int
			for b.Loop() {
				s := p.serve(b, n)
				start += s.start
				silent += s.memory(b)
				for tenant := range 100 {
					first += s.talk(b, tenant)
				}
				talking += s.memory(b)
				s.stop(b)
			}
			b.ReportMetric(start.Seconds()/float64(b.N), "s/start")
			b.ReportMetric(float64(silent)/float64(b.N)/1e6, "MB/silent")
			b.ReportMetric(float64(talking)/float64(b.N)/1e6, "MB/100-talk")
			b.ReportMetric(first.Seconds()*1e3/float64(b.N)/100, "ms/first-message")
		})
	}
}
