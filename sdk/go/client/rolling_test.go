package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/sdk/go/client"
)

// town is three nodes on one Redis server. New connections reach one of the first two, which are restarted.
type town struct {
	t     testing.TB
	redis string
	nodes [3]*server
	leads atomic.Pointer[string] // the address that new connections reach
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{t: t, redis: redistest.Start(t).Address()}
	for i := range w.nodes {
		w.start(i)
	}
	return w
}

func (w *town) start(i int) {
	w.t.Helper()
	w.nodes[i] = serve(w.t, anyPort, fmt.Sprintf("sessions: { grace: 1m }\nlimits: { verbsPerSecond: 10000 }\ncluster: { backend: redis, node: node-%d, redis: { addresses: [%q] } }\n", i, w.redis))
}

// lead makes new connections reach node i.
func (w *town) lead(i int) { w.leads.Store(&w.nodes[i].address) }

// restart ends node 0 or 1 by SIGTERM and starts it again; new connections reach the other one.
func (w *town) restart(i int) {
	w.t.Helper()
	w.lead(1 - i)
	if err := w.nodes[i].stop(); err != nil {
		w.t.Error(err)
	}
	w.start(i)
}

// through makes a client reach the node that new connections reach. It waits for hours if the server does not send
// it the time to reconnect.
func (w *town) through(o *client.Options) {
	o.MinDelay, o.MaxDelay = time.Hour, time.Hour
	o.HTTPClient = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		r.URL.Host = *w.leads.Load()
		return http.DefaultTransport.RoundTrip(r)
	})}
}

// TestARollingRestart restarts two nodes one after the other while a client at a third node sends messages. The client of a
// restarted node reconnects to the other one after the time in its node's last frame, with its session. In a room with
// history it misses nothing; in a room without history it reports a gap if it misses messages, and only then.
func TestARollingRestart(t *testing.T) {
	w := newTown(t)
	w.lead(0)
	ann, bob := connect(t, w.nodes[0].address, w.through), connect(t, w.nodes[2].address)
	id := ann.ID()
	for _, c := range []*testClient{ann, bob} {
		c.join("kept", "plain")
	}
	over := make(chan struct{})
	var speaking sync.WaitGroup
	speaking.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
			}
			for _, room := range []string{"kept", "plain"} {
				if _, err := bob.Say(timeoutContext(t), room, fmt.Sprint(n)); err != nil {
					t.Errorf("%s %d: %v", room, n, err)
					return
				}
			}
		}
	})
	for i := range 2 {
		w.restart(i)
	}
	close(over)
	speaking.Wait()
	bob.say("plain", "end")
	bob.say("kept", "end")
	said, heard := bob.walk(0), ann.walk(2)
	if !slices.Contains(said["plain"], "end") { // rooms have no order among each other
		said["plain"] = append(said["plain"], "end")
	}
	if !slices.Equal(heard["kept"], said["kept"]) {
		t.Errorf("in the room with history it received %d messages, want %d", len(heard["kept"]), len(said["kept"]))
	}
	next, gapped := 0, false
	for _, text := range heard["plain"] {
		if text == "gap" {
			gapped = true
			continue
		}
		i := slices.Index(said["plain"], text)
		if i < next || i > next != gapped {
			t.Fatalf("in the room without history it received message %d when %d was next, gap reported: %v", i, next, gapped)
		}
		next, gapped = i+1, false
	}
	if next != len(said["plain"]) || ann.ID() != id {
		t.Errorf("it is %s and received up to message %d, want %s and %d", ann.ID(), next, id, len(said["plain"]))
	}
	t.Logf("%d messages in each room", len(said["plain"]))
}

// walk reads the events of a client that came back a number of times, up to the text "end" in the room kept. It returns
// the messages of each room, and "gap" where the client reported one.
func (p *testClient) walk(returns int) map[string][]string {
	p.t.Helper()
	heard, connections := map[string][]string{}, -1
	for {
		switch e := next[any](p, nil).(type) {
		case client.Message:
			heard[e.Room] = append(heard[e.Room], e.Text())
			if e.Room == "kept" && e.Text() == "end" {
				if connections != returns {
					p.t.Errorf("it came back %d times, want %d", connections, returns)
				}
				return heard
			}
		case gap:
			heard[string(e)] = append(heard[string(e)], "gap")
		case connected:
			if connections++; connections > 0 && !e.resumed {
				p.t.Error("the session has ended")
			}
		case left:
			p.t.Errorf("it left %s: %v", e.room, e.err)
		case client.StateChange:
			var why *client.ClosedError
			if e.State == client.Waiting && (!errors.As(e.Err, &why) || why.Code != 3001 || e.Delay > time.Second) {
				p.t.Errorf("it waits: %+v", e)
			}
		}
	}
}

// BenchmarkRollingRestart measures the time from the end of a client's connection until it is in its rooms again, on the
// other node, for 100 clients of a node that is restarted.
func BenchmarkRollingRestart(b *testing.B) {
	w := newTown(b)
	w.lead(0)
	var mu sync.Mutex
	var took []time.Duration
	var back sync.WaitGroup
	for range 100 {
		var lost time.Time
		o := client.Options{OnState: func(s client.StateChange) {
			switch {
			case s.State == client.Waiting:
				lost = time.Now()
			case s.State == client.Connected && !lost.IsZero():
				mu.Lock()
				took = append(took, time.Since(lost))
				mu.Unlock()
				back.Done()
			}
		}}
		w.through(&o)
		c, err := client.Connect(b.Context(), "ws://"+w.nodes[0].address, o)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close(); <-c.Done() })
		for _, room := range []string{"kept", "plain"} {
			if err := c.Join(b.Context(), room); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := 0; b.Loop(); i++ {
		back.Add(100)
		w.restart(i % 2)
		back.Wait()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
}
