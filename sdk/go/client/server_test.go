package client_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/sdk/go/client"
	"go.uber.org/goleak"
)

// moot is the path of the server's program, built from this repository.
var moot string

// address is the URL of a server for the examples.
var address string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "moot-client")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	moot = filepath.Join(dir, "moot")
	build := exec.Command("go", "build", "-o", moot, ".")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	demo, err := start(dir, anyPort, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	address = "ws://" + demo.address
	code := m.Run()
	if err := demo.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// settings is the configuration of the servers: the room kept has history, plain has none.
const settings = `
tenants:
  default:
    rooms:
      starting: [kept, plain, watched, cards]
      clientsMayCreate: true
      settings:
        - { match: kept, history: 100, historyTTL: 1m }
        - { match: watched, presence: true }
        - { match: cards, history: 100, historyTTL: 1m, json: true }
drain: 0s
admin: { listen: "127.0.0.1:0", key: the-admin-key-of-all-tests }
socket: { listen: "127.0.0.1:0" }
log: { format: json }
`

// server is a running server.
type server struct {
	address string
	admin   string // address of the server API
	cmd     *exec.Cmd
	ended   chan error
	stopped bool
}

// serve starts a server at address, which ends with the test. more is added to its configuration.
func serve(t testing.TB, address, more string) *server {
	t.Helper()
	s, err := start(t.TempDir(), address, more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func start(dir, address, more string) (*server, error) {
	file := filepath.Join(dir, "moot.yaml")
	if err := os.WriteFile(file, []byte(settings+more), 0o666); err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(moot, "serve", "-c", file, "--set", "http.listen="+address), ended: make(chan error, 1)}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(log)
	var said string
	for (s.address == "" || s.admin == "") && lines.Scan() {
		said += lines.Text() + "\n"
		var entry struct{ Msg, HTTP, Admin string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			s.address, s.admin = cmp.Or(entry.HTTP, s.address), cmp.Or(entry.Admin, s.admin)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, log)
		s.ended <- s.cmd.Wait()
	}()
	if s.address == "" || s.admin == "" {
		return nil, fmt.Errorf("the server does not serve: %v\n%s", s.stop(), said)
	}
	return s, nil
}

// stop ends the server by SIGTERM and waits for it. A second call does nothing.
func (s *server) stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return <-s.ended
}

// proxy is a TCP proxy whose connections a test can break without stopping the server.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	pairs map[net.Conn]net.Conn
	all   sync.WaitGroup
}

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &proxy{Listener: listener, to: address, pairs: map[net.Conn]net.Conn{}}
	l.all.Go(l.serve)
	t.Cleanup(func() {
		l.Close()
		l.cut()
		l.all.Wait()
	})
	return l
}

func (l *proxy) serve() {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			near.Close()
			continue
		}
		l.mu.Lock()
		l.pairs[near] = far
		l.mu.Unlock()
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			l.all.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				l.end(near)
			})
		}
	}
}

func (l *proxy) end(near net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if far := l.pairs[near]; far != nil {
		near.Close()
		far.Close()
		delete(l.pairs, near)
	}
}

// cut closes all connections without a close frame.
func (l *proxy) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for near, far := range l.pairs {
		near.Close()
		far.Close()
	}
	clear(l.pairs)
}

// testClient is a client and the events that it received.
type testClient struct {
	*client.Client
	t      *testing.T
	events chan any // of the types below, and those of the package
}

type (
	connected struct {
		id      string
		resumed bool
	}
	gap  string
	left struct {
		room string
		err  error
	}
)

// deadline bounds everything that a test waits for.
const deadline = time.Minute

func timeoutContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// options returns options that send all events to p.events.
func (p *testClient) options() client.Options {
	return client.Options{
		OnMessage:   func(m client.Message) { p.events <- m },
		OnPresence:  func(m client.Presence) { p.events <- m },
		OnNotice:    func(n client.Notice) { p.events <- n },
		OnConnected: func(id string, resumed bool) { p.events <- connected{id, resumed} },
		OnGap:       func(room string) { p.events <- gap(room) },
		OnLeft:      func(room string, err error) { p.events <- left{room, err} },
		OnState:     func(c client.StateChange) { p.events <- c },
		MinDelay:    10 * time.Millisecond, MaxDelay: 100 * time.Millisecond,
	}
}

// connect connects a client with changed options.
func connect(t *testing.T, address string, change ...func(*client.Options)) *testClient {
	t.Helper()
	p := &testClient{t: t, events: make(chan any, 100_000)}
	o := p.options()
	for _, c := range change {
		c(&o)
	}
	var err error
	if p.Client, err = client.Connect(timeoutContext(t), "ws://"+address, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.leave)
	return p
}

// leave closes the client and waits for its end.
func (p *testClient) leave() {
	p.Close()
	select {
	case <-p.Done():
	case <-time.After(deadline):
		p.t.Errorf("the client did not end within %v", deadline)
	}
}

func (p *testClient) join(rooms ...string) {
	p.t.Helper()
	for _, room := range rooms {
		if err := p.Join(timeoutContext(p.t), room); err != nil {
			p.t.Fatalf("%s: %v", room, err)
		}
	}
}

// say sends a message and returns its id.
func (p *testClient) say(room, text string) string {
	p.t.Helper()
	id, err := p.Say(timeoutContext(p.t), room, text)
	if err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	return id
}

// next returns the next event of type E that fits; nil fits all. It drops the events before it.
func next[E any](p *testClient, fits func(E) bool) E {
	p.t.Helper()
	late := time.After(deadline)
	for {
		select {
		case e := <-p.events:
			if e, ok := e.(E); ok && (fits == nil || fits(e)) {
				return e
			}
		case <-late:
			p.t.Fatalf("no matching %T within %v", *new(E), deadline)
		}
	}
}

func from(id string) func(client.Message) bool {
	return func(m client.Message) bool { return m.From == id }
}

func is(s client.State) func(client.StateChange) bool {
	return func(c client.StateChange) bool { return c.State == s }
}

// errorOf returns the error of a Say.
func errorOf(_ string, err error) error { return err }

// refused returns the message of a VerbError.
func refused(t *testing.T, err error) string {
	t.Helper()
	var v *client.VerbError
	if !errors.As(err, &v) {
		t.Fatalf("got %v, want a *VerbError", err)
	}
	return v.Message
}
