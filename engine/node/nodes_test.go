package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// lease is the lease of the nodes in these tests.
const lease = 3 * time.Second

// runNode runs a process that is a node of a cluster on the Redis at the address. rules is the
// chain of the tenant. more has settings.
func runNode(t testing.TB, name, address, rules string, more ...string) *nodetest.Server {
	t.Helper()
	guests, err := filepath.Abs("../../guests")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
cluster: { backend: redis, node: %s, lease: %v, publishTimeout: 15s, redis: { addresses: [%q] } }
modules: { announcer: { file: %q } }
limits: { verbsPerSecond: 1000, connections: 1000, verbTimeout: 30s }
tenants: { default: { rooms: { starting: [hall], settings: [{ history: 10000 }] }, chain: [%s] } }
`, name, lease, address, filepath.Join(guests, "announcer/announcer.wasm"), rules)
	s := started(t, process(t, configured(t, t.TempDir(), config), more...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, &s.Log)
		}
	})
	return s
}

// guest is a client over TCP in the room hall. It records what it receives.
type guest struct {
	t    *testing.T
	name string
	conn net.Conn

	mu      sync.Mutex
	heard   []string       // texts of messages
	answers map[int]string // errors by messageId; "": OK
	views   chan int       // membersCount of roomView
	changed *sync.Cond
}

func newGuest(t *testing.T, name string, node *nodetest.Server) *guest {
	t.Helper()
	conn, err := net.DialTimeout("tcp", node.Socket, nodetest.Deadline)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, name: name, conn: conn, answers: map[int]string{}, views: make(chan int, 1)}
	g.changed = sync.NewCond(&g.mu)
	var reading sync.WaitGroup
	reading.Go(g.read)
	t.Cleanup(func() { conn.Close(); reading.Wait() })
	g.send(`{"event":"roomAdd","room":"hall","messageId":2000000}`)
	if err := redistest.Await(name+" is in the hall", func() bool { answer, ok := g.answer(2_000_000); return ok && answer == "" }); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guest) send(line string) { _, _ = fmt.Fprintf(g.conn, "%s\n", line) }

func (g *guest) read() {
	lines := bufio.NewScanner(g.conn)
	for lines.Scan() {
		var m struct {
			Context, Message, Error string
			MessageID               json.RawMessage
			Data                    json.RawMessage
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		g.mu.Lock()
		switch m.Context {
		case "user":
			g.heard = append(g.heard, m.Message)
		case "response":
			var id int
			if json.Unmarshal(m.MessageID, &id) == nil {
				g.answers[id] = m.Error
			}
			var view struct{ MembersCount int }
			if json.Unmarshal(m.Data, &view) == nil && view.MembersCount > 0 {
				select {
				case g.views <- view.MembersCount:
				default:
				}
			}
		}
		g.mu.Unlock()
	}
}

func (g *guest) answer(id int) (text string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	text, ok = g.answers[id]
	return text, ok
}

// members requests the number of members of the hall.
func (g *guest) members() int {
	g.send(`{"event":"roomView","room":"hall","messageId":1000000}`)
	select {
	case n := <-g.views:
		return n
	case <-time.After(30 * time.Second):
		return -1
	}
}

func (g *guest) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.heard)
}

// TestMembersOfAKilledNodeLeaveOnce checks that a hundred members of a killed node leave once each,
// within the lease and two seconds, and that none is left.
func TestMembersOfAKilledNodeLeaveOnce(t *testing.T) {
	redis := redistest.Start(t)
	rules := `{ module: announcer, grants: [emit], config: { join: "", quiet: [] } }`
	doomed, survivor := runNode(t, "doomed", redis.Address(), rules), runNode(t, "survivor", redis.Address(), rules)
	const n = 100
	for i := range n {
		newGuest(t, fmt.Sprint("guest ", i), doomed)
	}
	witness := newGuest(t, "witness", survivor)
	if got := witness.members(); got != n+1 {
		t.Fatalf("%d members, want %d", got, n+1)
	}
	began := time.Now()
	if err := doomed.SignalGroup(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	leaves := func() map[string]int {
		all := map[string]int{}
		for _, text := range witness.all() {
			if strings.HasSuffix(text, " left") {
				all[text]++
			}
		}
		return all
	}
	if err := redistest.Await("all have left", func() bool { return len(leaves()) == n }); err != nil {
		t.Errorf("%v: %d of %d", err, len(leaves()), n)
	}
	took := time.Since(began)
	t.Logf("%d members left within %v, lease %v", n, took, lease)
	if most := lease + 2*time.Second + grace; took > most {
		t.Errorf("it took %v, want %v at most", took, most)
	}
	if got := witness.members(); got != 1 {
		t.Errorf("%d members, want the witness alone", got)
	}
	for text, times := range leaves() {
		if times != 1 {
			t.Errorf("%q came %d times", text, times)
		}
	}
}

// party has guests at several nodes that send messages, and wanderers that receive them.
type party struct {
	t         *testing.T
	guests    []*guest
	wanderers []*wanderer
	over      chan struct{}
	talk      sync.WaitGroup
	said      []int // number of messages, by guest
}

func newParty(t *testing.T, nodes []*nodetest.Server, each int, pace time.Duration) *party {
	p := &party{t: t, over: make(chan struct{})}
	for i, n := range nodes {
		for k := range each {
			p.guests = append(p.guests, newGuest(t, fmt.Sprintf("g%d%d", i, k), n))
		}
	}
	for i := range 2 {
		p.wanderers = append(p.wanderers, newWanderer(t, fmt.Sprint("wanderer ", i), append(nodes[i:len(nodes):len(nodes)], nodes[:i]...)))
	}
	p.said = make([]int, len(p.guests))
	for i, g := range p.guests {
		p.talk.Go(func() {
			for tick := time.Tick(pace); ; {
				p.said[i]++
				g.send(fmt.Sprintf(`{"event":"say","room":"hall","message":"%s %d","messageId":%d}`, g.name, p.said[i], p.said[i]))
				select {
				case <-tick:
				case <-p.over:
					return
				}
			}
		})
	}
	return p
}

// hear waits until each guest has received n more messages.
func (p *party) hear(n int) {
	p.t.Helper()
	for _, g := range p.guests {
		want := len(g.all()) + n
		if err := redistest.Await(fmt.Sprintf("%s receives %d more", g.name, n), func() bool { return len(g.all()) >= want }); err != nil {
			p.t.Fatal(err)
		}
	}
}

// settle stops the senders and compares the received messages. Each guest must have received each accepted message
// once, no refused message, and all in the same order. At least atLeast messages must have been accepted. Wanderers may
// have missed messages at most missing times.
func (p *party) settle(atLeast, missing int) {
	p.t.Helper()
	close(p.over)
	p.talk.Wait()
	accepted, refused := map[string]bool{}, map[string]bool{}
	for i, g := range p.guests {
		for id := 1; id <= p.said[i]; id++ {
			if err := redistest.Await(fmt.Sprintf("%s has an answer to %d", g.name, id), func() bool { _, ok := g.answer(id); return ok }); err != nil {
				p.t.Fatal(err)
			}
			text := fmt.Sprintf("%s %d", g.name, id)
			switch answer, _ := g.answer(id); answer {
			case "":
				accepted[text] = true
			case "cluster unavailable", "room busy":
				refused[text] = true
			case "outcome unknown":
			default:
				p.t.Errorf("%s received %q for an answer", g.name, answer)
			}
		}
	}
	for _, g := range p.guests {
		p.check(g, accepted, refused)
	}
	order := slices.DeleteFunc(p.guests[0].all(), func(text string) bool { return !accepted[text] })
	for _, w := range p.wanderers {
		w.settle(order, missing+1)
	}
	p.t.Logf("%d messages were accepted, %d refused", len(accepted), len(refused))
	if len(accepted) < atLeast {
		p.t.Errorf("only %d messages were accepted", len(accepted))
	}
}

func (p *party) check(g *guest, accepted, refused map[string]bool) {
	p.t.Helper()
	count := func() (n int) {
		seen := map[string]bool{}
		for _, text := range g.all() {
			if accepted[text] && !seen[text] {
				seen[text], n = true, n+1
			}
		}
		return n
	}
	if err := redistest.Await(g.name+" has received all", func() bool { return count() == len(accepted) }); err != nil {
		p.t.Errorf("%v: %d of %d", err, count(), len(accepted))
	}
	last, seen := map[string]int{}, map[string]bool{}
	for _, text := range g.all() {
		name, number, _ := strings.Cut(text, " ")
		var k int
		fmt.Sscan(number, &k)
		if seen[text] || refused[text] || k <= last[name] {
			p.t.Errorf("%s received %q: before: %v, refused: %v, after number %d", g.name, text, seen[text], refused[text], last[name])
		}
		seen[text], last[name] = true, k
	}
	common := func(all []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(text string) bool { return !accepted[text] })
	}
	if first := p.guests[0]; !slices.Equal(common(g.all()), common(first.all())) {
		p.t.Errorf("%s and %s received different orders", g.name, first.name)
	}
}

// TestNothingIsLostBetweenProcesses checks that no message is lost while six clients at three nodes send messages, two
// clients reconnect with since, and faults of some seconds follow each other: subscriptions are killed, a node is
// frozen, Redis is killed and restarts empty, a node is cut off from Redis, the connection to Redis is slow.
func TestNothingIsLostBetweenProcesses(t *testing.T) {
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis.Address())
	nodes := []*nodetest.Server{runNode(t, "one", redis.Address(), ""), runNode(t, "two", redis.Address(), ""), runNode(t, "three", proxy.Address(), "")}
	p := newParty(t, nodes, 2, 20*time.Millisecond)
	p.hear(100)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(redis.Do("CLIENT", "KILL", "TYPE", "pubsub"))
	p.hear(100)
	must(nodes[1].SignalGroup(syscall.SIGSTOP))
	pass(t, p.guests[0], 2*time.Second)
	must(nodes[1].SignalGroup(syscall.SIGCONT))
	p.hear(100)
	redis.Kill()
	must(redis.Restart())
	p.hear(100)
	proxy.Silence()
	pass(t, p.guests[0], 5*time.Second)
	proxy.Mend()
	p.hear(100)
	proxy.Slow(100 * time.Millisecond)
	p.hear(50)
	proxy.Mend()
	p.hear(100)
	p.settle(500, 1) // messages from before the restart of Redis may be missing once
}

// pass waits for a time while the guests continue to send.
func pass(t *testing.T, g *guest, long time.Duration) {
	t.Helper()
	began := time.Now()
	if err := redistest.Await("time passes", func() bool { return time.Since(began) > long }); err != nil {
		t.Fatal(err)
	}
	if len(g.all()) == 0 {
		t.Error("no messages arrive")
	}
}
