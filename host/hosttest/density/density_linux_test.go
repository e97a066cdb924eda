package density

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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
	logged      chan struct{} // closed when all of its log is in the file
}

// program is a built server with a cache that contains the compiled guests.
type program struct {
	file, dir, guests string
	alone             int // memory of a server with one tenant, in bytes
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
	s := p.serve(t, 1)
	p.alone = s.memory(t)
	s.stop(t)
	return p
}

// tenantsPerFile is the number of tenants in an included file.
const tenantsPerFile = 100

// write writes a configuration of n tenants, in files that the main file includes, and returns the main file. Each
// tenant has three rules with their own configs.
func (p *program) write(t testing.TB, n int) string {
	t.Helper()
	dir := filepath.Join(p.dir, fmt.Sprint(n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `cache: %s
log: { level: debug }
http: { listen: "127.0.0.1:0", demo: false }
socket: { listen: "", tenant: t0 }
admin: { listen: "127.0.0.1:0", key: %q, requestsPerSecond: 10000 }
limits: { verbsPerSecond: 1000, chainTimeout: 20s }
include: [ "%d/*.yaml" ]
modules:
`, p.dir, key, n)
	for _, name := range []string{"gate", "blocklist", "announcer"} {
		fmt.Fprintf(&b, "  %s: { file: %s/%s/%s.wasm }\n", name, p.guests, name, name)
	}
	file := dir + ".yaml"
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += tenantsPerFile {
		p.writeTenants(t, n, from, 0)
	}
	return file
}

// writeTenants writes the included file with the tenants from a number on, of n. A change of version changes the config
// of one rule of the first one.
func (p *program) writeTenants(t testing.TB, n, from, version int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("tenants:\n")
	for i := from; i < min(n, from+tenantsPerFile); i++ {
		words := fmt.Sprintf("darn%d", i)
		if i == from && version > 0 {
			words += fmt.Sprintf(", version%d", version)
		}
		fmt.Fprintf(&b, `  t%d:
    match: { host: t%d.example }
    rooms: { starting: [hall] }
    chain:
      - { module: gate, timeout: 10s, grants: ["properties:role"], config: { rooms: ["secure*"], tokens: { letmein%d: member } } }
      - { module: blocklist, timeout: 10s, config: { words: [%s] } }
      - { module: announcer, timeout: 10s, grants: [emit], config: { join: "%d has a guest" } }
`, i, i, i, words, i)
	}
	file := filepath.Join(p.dir, fmt.Sprint(n), fmt.Sprintf("%06d.yaml", from))
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

var listening = regexp.MustCompile(`msg=serving (http|admin)=(\S+)`)

// serve starts a server with n tenants.
func (p *program) serve(t testing.TB, n int) *node {
	t.Helper()
	return p.start(t, p.write(t, n))
}

// start starts a server with a configuration that write has written. args are further arguments of moot serve. It returns
// when the server serves and has given back the memory of its start.
func (p *program) start(t testing.TB, file string, args ...string) *node {
	t.Helper()
	begin := time.Now()
	s := &node{cmd: exec.Command(p.file, append([]string{"serve", "-c", file}, args...)...), logged: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.ArtifactDir(), "server-*.log")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop(t)
		showIfFailed(t, log)
	})
	lines := bufio.NewReader(io.TeeReader(stderr, log))
	for released := false; s.http == "" || s.admin == "" || !released; {
		line, err := lines.ReadString('\n')
		if err != nil {
			close(s.logged)
			t.Fatalf("a server with %s does not start: %v", file, err)
		}
		released = released || strings.Contains(line, "gave back the memory")
		for _, found := range listening.FindAllStringSubmatch(line, -1) {
			if found[1] == "http" {
				s.http = found[2]
			} else {
				s.admin = found[2]
			}
			s.start = time.Since(begin) // the node serves when the last of them does
		}
	}
	go func() { // ends with the process
		defer close(s.logged)
		_, _ = io.Copy(io.Discard, lines)
	}()
	return s
}

// shownLog is the number of bytes at the end of a log that a failed test shows.
const shownLog = 32 << 10

// showIfFailed shows the end of the log if the test has failed, and closes it. With go test -artifacts all of it is kept.
func showIfFailed(t testing.TB, log *os.File) {
	defer log.Close()
	if !t.Failed() {
		return
	}
	text, err := os.ReadFile(log.Name())
	t.Logf("%s, %d bytes, ends with:\n%s%v", log.Name(), len(text), text[max(0, len(text)-shownLog):], err)
}

func (s *node) stop(t testing.TB) {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.logged
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

// ask sends a request with the key of the admin to the API, and returns the answer.
func (s *node) ask(t testing.TB, method, path string) []byte {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+s.admin+path, nil)
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
		t.Fatalf("%s %s: %v, %v, %.2000s", method, path, answer.Status, err, text)
	}
	return text
}

// reload makes the server load its configuration, and returns the time that this took.
func (s *node) reload(t testing.TB) time.Duration {
	t.Helper()
	var answer struct {
		Results []struct {
			OK       bool
			Problems []string
			Took     float64 // ms
		}
	}
	text := s.ask(t, http.MethodPost, "/api/reload")
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Results) != 1 || !answer.Results[0].OK {
		t.Fatalf("%v: %.2000s", err, text)
	}
	return time.Duration(answer.Results[0].Took * float64(time.Millisecond))
}

// metric returns the sum of a metric over all of its series.
func (s *node) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	text := s.ask(t, http.MethodGet, "/metrics")
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}

// client is a member of the room hall of a tenant.
type client struct {
	conn   *websocket.Conn
	tenant int
}

// join connects to a tenant and joins the room.
func (s *node) join(ctx context.Context, tenant int) (*client, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+s.http+"/ws", &websocket.DialOptions{Host: fmt.Sprintf("t%d.example", tenant)})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	c := &client{conn, tenant}
	if err := c.send(ctx, `{"event":"roomAdd","room":"hall","messageId":"join"}`); err != nil {
		return nil, err
	}
	_, err = c.await(ctx, `"messageId":"join"`)
	return c, err
}

func (c *client) send(ctx context.Context, frame string) error {
	return c.conn.Write(ctx, websocket.MessageText, []byte(frame))
}

// await returns the next frame that contains text.
func (c *client) await(ctx context.Context, text string) ([]byte, error) {
	for {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case bytes.Contains(frame, []byte(text)):
			return frame, nil
		case bytes.Contains(frame, []byte(`"error"`)), bytes.Contains(frame, []byte("well, darn")):
			return nil, fmt.Errorf("t%d: %s", c.tenant, frame)
		}
	}
}

// say sends a word that the tenant's blocklist masks, and returns the time until the message is back.
func (c *client) say(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	err := c.send(ctx, fmt.Sprintf(`{"event":"say","room":"hall","message":"well, darn%d"}`, c.tenant))
	if err == nil {
		_, err = c.await(ctx, "well, ***")
	}
	return time.Since(begin), err
}

// talk joins a room of a tenant and says something twice. It returns the times of the messages: for a tenant without
// clients, the first one waits for an instance of one rule.
func (s *node) talk(t testing.TB, tenant int) (first, second time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := s.join(ctx, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.CloseNow()
	if first, err = c.say(ctx); err == nil {
		second, err = c.say(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return first, second
}

// TestSilentTenantsCostLittle starts a node with 100 tenants and one with 300. It checks that silent tenants have no
// instances and need little memory, and that tenants whose clients send messages are served in little memory.
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
	if each := (more - less) / 200; each > 100<<10 {
		t.Errorf("a silent tenant with three rules costs %d bytes", each)
	}
	if more > 200<<20 {
		t.Errorf("300 silent tenants cost %d bytes", more)
	}
	for tenant := range talking {
		many.talk(t, tenant*3)
	}
	awake := many.metric(t, "moot_module_instances")
	if awake == 0 || awake > talking*3*2 {
		t.Errorf("%d tenants have talked, and there are %v instances", talking, awake)
	}
	after := many.memory(t) - more
	t.Logf("%v instances take %d MB", awake, after>>20)
	if after > 110<<20 {
		t.Errorf("%d tenants with three rules in Go that begin to talk take %d bytes", talking, after)
	}
}
