package node

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
	"github.com/mootchat/moot/engine/node/nodetest"
	"github.com/mootchat/moot/engine/review"
)

// receiver is an HTTP server that receives events.
type receiver struct {
	*httptest.Server
	secret string
	schema *eventstest.Schema

	mu     sync.Mutex
	status int // status of the answers; 0: 200
	events map[string]string
	order  []string
	come   chan struct{} // has an element after an event has arrived
	bad    error         // first error of the verification of a request
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32))), events: map[string]string{}, come: make(chan struct{}, 1)}
	verifier, err := standardwebhooks.NewWebhook(r.secret)
	if err == nil {
		r.schema, err = eventstest.ReadSchema()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := verifier.Verify(body, q.Header); err != nil {
			r.bad = err
		}
		if r.status != 0 {
			w.WriteHeader(r.status)
			return
		}
		var all []struct {
			ID, Type string
			Data     json.RawMessage
		}
		if body[0] != '[' {
			body = slices.Concat([]byte("["), body, []byte("]"))
		}
		var raw []json.RawMessage
		if err := errors.Join(json.Unmarshal(body, &all), json.Unmarshal(body, &raw)); err != nil {
			r.bad = err
		}
		for i, e := range all {
			if err := r.schema.Check(raw[i]); err != nil {
				r.bad = err
			}
			if _, again := r.events[e.ID]; !again {
				r.order = append(r.order, e.Type+" "+string(e.Data))
			}
			r.events[e.ID] = e.Type
		}
		select {
		case r.come <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(func() {
		r.Close()
		if r.bad != nil {
			t.Error("a request is not valid: ", r.bad)
		}
	})
	return r
}

func (r *receiver) answers(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// await waits until n events have come, and returns them.
func (r *receiver) await(t *testing.T, n int) []string {
	t.Helper()
	for limit := time.After(time.Minute); ; {
		r.mu.Lock()
		got := slices.Clone(r.order)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-r.come:
		case <-limit:
			t.Fatalf("%d events have come, want %d: %q", len(got), n, got)
		}
	}
}

// sink is the configuration of a sink of the tenant default.
func (r *receiver) sink(more string) string {
	return fmt.Sprintf("tenants: { default: { rooms: { starting: [lobby] }, events: [{ name: crm, url: '%s', secrets: [%s]%s }] } }\n", r.URL, r.secret, more)
}

func dial(t *testing.T, s *nodetest.Server) *client.Client {
	t.Helper()
	c, err := client.New("http://"+s.Admin, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func createRoom(t *testing.T, s *nodetest.Server, room string) {
	t.Helper()
	if err := dial(t, s).Do(t.Context(), "PUT", "/api/tenants/default/rooms/"+room, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// TestEventsReachASink checks that the events of a node reach a sink, that a reload changes the sinks, and the operations of the API
// with a sink that rejects events.
func TestEventsReachASink(t *testing.T) {
	r := newReceiver(t)
	file := configured(t, t.TempDir(), "watch: false\n"+r.sink(", kinds: [room.created]"))
	s := inProcess(t, file)
	createRoom(t, s, "a")
	if got := r.await(t, 1); got[0] != `moot.room.created {"room":"a"}` {
		t.Errorf("the events are %q", got)
	}
	if n := strings.Count(s.Log.String(), "events are in memory"); n != 1 {
		t.Errorf("the log says %d times that events are in memory", n)
	}
	c := dial(t, s)
	if got, err := c.TestSink(t.Context(), "default", "crm"); err != nil || !got.OK || got.Status != 200 {
		t.Errorf("the test: %+v, %v", got, err)
	}
	r.await(t, 2)
	r.answers(400)
	if got, err := c.TestSink(t.Context(), "default", "crm"); err != nil || got.OK || got.Status != 400 || !strings.Contains(got.Error, "400") {
		t.Errorf("the test: %+v, %v", got, err)
	}
	createRoom(t, s, "b")
	deadline := time.Now().Add(time.Minute)
	for sinks := []api.Sink(nil); ; {
		var err error
		if sinks, err = c.Sinks(t.Context(), "default"); err != nil || len(sinks) != 1 {
			t.Fatal(sinks, err)
		}
		if sinks[0].Dead == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sink is %+v", sinks[0])
		}
		time.Sleep(50 * time.Millisecond)
	}
	var dead []api.DeadLetter
	if err := c.DeadLetters(t.Context(), "default", "crm", func(l api.DeadLetter) error { dead = append(dead, l); return nil }); err != nil || len(dead) != 1 || dead[0].Room != "b" {
		t.Fatalf("the dead letters are %+v, %v", dead, err)
	}
	r.answers(0)
	if n, err := c.MoveDeadLetters(t.Context(), "default", "crm", "retry", nil); n != 1 || err != nil {
		t.Errorf("%d are retried, %v", n, err)
	}
	r.await(t, 3)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	nodetest.Write(t, file, strings.Replace(string(text), "room.created", "room.destroyed", 1))
	if err := c.Do(t.Context(), "POST", "/api/reload", nil, nil); err != nil {
		t.Fatal(err)
	}
	createRoom(t, s, "c")
	if err := c.Do(t.Context(), "DELETE", "/api/tenants/default/rooms/c", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.await(t, 4); got[3] != `moot.room.destroyed {"room":"c"}` {
		t.Errorf("the events are %q", got)
	}
}

// TestEachKindOfEventReachesASink makes an event of each kind on a node with rules; the receiver checks each by its signature and by the schema.
func TestEachKindOfEventReachesASink(t *testing.T) {
	r := newReceiver(t)
	s := inProcess(t, configured(t, t.TempDir(), fmt.Sprintf(`
watch: false
modules: { holder: { builtin: blocklist }, masker: { builtin: blocklist } }
tenants:
  default:
    rooms: { starting: [hall], settings: [{ history: 100 }] }
    chain:
      - { module: holder, config: { words: [darn], action: hold } }
      - { module: masker, config: { words: [heck], action: mask } }
    events: [{ name: crm, url: '%s', secrets: [%s], batch: 10, kinds: [%s] }]
`, r.URL, r.secret, strings.Join(events.Names(), ", "))))
	c, hall := dial(t, s), "/api/tenants/default/rooms/hall/messages"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	createRoom(t, s, "a")
	must(c.Do(t.Context(), "DELETE", "/api/tenants/default/rooms/a", nil, nil))
	g := newGuest(t, "ann", s)
	g.send(`{"event":"say","room":"hall","message":"darn","messageId":1}`)
	g.send(`{"event":"say","room":"hall","message":"heck","messageId":2}`)
	g.send(`{"event":"report","user":"bob","reason":"rude","messageId":3}`)
	must(redistest.Await("all is answered", func() bool { _, ok := g.answer(3); return ok }))
	held, err := c.Held(t.Context(), "default", client.ReviewQuery{})
	must(err)
	reports, err := c.Reports(t.Context(), "default", client.ReviewQuery{})
	must(err)
	if len(held) != 1 || len(reports) != 1 {
		t.Fatalf("held are %+v, and reported %+v", held, reports)
	}
	_, err = c.DecideHeld(t.Context(), "default", held[0].ID, review.Reject, "no")
	must(err)
	_, err = c.ResolveReport(t.Context(), "default", reports[0].ID, review.Dismiss, "")
	must(err)
	var sent struct{ ID string }
	must(c.Do(t.Context(), "POST", hall, map[string]string{"message": "hi"}, &sent))
	must(c.Do(t.Context(), "PUT", hall+"/"+sent.ID, map[string]string{"message": "hello"}, nil))
	must(c.Do(t.Context(), "DELETE", hall+"/"+sent.ID, nil, nil))
	sanction, err := c.SetSanction(t.Context(), "default", api.NewSanction{User: "bob", Kind: "mute", Reason: "rude"})
	must(err)
	must(c.RemoveSanction(t.Context(), "default", sanction.ID))
	g.send(`{"event":"quit"}`)
	if got, err := c.TestSink(t.Context(), "default", "crm"); err != nil || !got.OK {
		t.Errorf("the test: %+v, %v", got, err)
	}
	missing := func() (kinds []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, kind := range append(events.Names(), "test") {
			if !slices.ContainsFunc(r.order, func(e string) bool { return strings.HasPrefix(e, "moot."+kind+" ") }) {
				kinds = append(kinds, kind)
			}
		}
		return kinds
	}
	if redistest.Await("each kind arrives", func() bool { return len(missing()) == 0 }) != nil {
		t.Errorf("no event of the kinds %q has come: %q", missing(), r.order)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, want := range []string{`"verdict":"hold"`, `"verdict":"rewrite"`} {
		if !slices.ContainsFunc(r.order, func(e string) bool { return strings.HasPrefix(e, "moot.rule.decided") && strings.Contains(e, want) }) {
			t.Errorf("no decision has %s: %q", want, r.order)
		}
	}
}

// TestASecretIsReplaced changes the secret of a sink by two reloads: with both secrets a receiver of either accepts the events, and afterwards only one
// that has the new one. Events of a sink that a reload removes arrive when another one brings it back.
func TestASecretIsReplaced(t *testing.T) {
	r := newReceiver(t)
	next := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("n", 32)))
	old, err := standardwebhooks.NewWebhook(r.secret)
	if err != nil {
		t.Fatal(err)
	}
	with, err := standardwebhooks.NewWebhook(next)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var accepted []string
	both := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		mu.Lock()
		defer mu.Unlock()
		accepted = append(accepted, fmt.Sprint(old.Verify(body, q.Header) == nil, with.Verify(body, q.Header) == nil))
	}))
	t.Cleanup(both.Close)
	const sink = "watch: false\ntenants: { default: { events: [{ name: crm, url: '%s', secrets: [%s], kinds: [room.created] }] } }\n"
	dir := t.TempDir()
	file := configured(t, dir, fmt.Sprintf(sink, both.URL, r.secret))
	s := inProcess(t, file)
	reload := func(more string) {
		t.Helper()
		configured(t, dir, more)
		if err := dial(t, s).Do(t.Context(), "POST", "/api/reload", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	await := func(want ...string) {
		t.Helper()
		if redistest.Await("the events arrive", func() bool { mu.Lock(); defer mu.Unlock(); return len(accepted) >= len(want) }) != nil || !slices.Equal(accepted, want) {
			t.Fatalf("the old and the new secret accept %q, want %q", accepted, want)
		}
	}
	createRoom(t, s, "a")
	await("true false")
	reload(fmt.Sprintf(sink, both.URL, next+", "+r.secret))
	createRoom(t, s, "b")
	await("true false", "true true")
	reload(fmt.Sprintf(sink, both.URL, next))
	createRoom(t, s, "c")
	await("true false", "true true", "false true")
	reload(fmt.Sprintf(sink, "http://127.0.0.1:1/", next))
	createRoom(t, s, "d") // it waits
	reload("watch: false\n")
	sinks, err := dial(t, s).Sinks(t.Context(), "default")
	if err != nil || len(sinks) != 1 || sinks[0].Configured || sinks[0].Events != 1 {
		t.Errorf("the sinks are %+v, %v", sinks, err)
	}
	reload(fmt.Sprintf(sink, both.URL, next))
	await("true false", "true true", "false true", "false true")
}

// TestEventsSurviveAKill kills a node directly after it has answered, while the receiver is down. The next node delivers each event,
// in order.
func TestEventsSurviveAKill(t *testing.T) {
	for name, backend := range map[string]func(*testing.T) string{
		"Redis": func(t *testing.T) string {
			return "cluster: { backend: redis, redis: { addresses: ['" + redistest.Start(t).Address() + "'] } }\n"
		},
		"a file": func(*testing.T) string { return "data: data\n" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.answers(503)
			file := configured(t, t.TempDir(), backend(t)+r.sink(", kinds: [room.created], batch: 10"))
			for i := range 3 {
				s := started(t, process(t, file, "cluster.node=n"+fmt.Sprint(i)))
				for k := range 5 {
					createRoom(t, s, fmt.Sprintf("%d-%d", i, k))
				}
				s.Kill()
			}
			r.answers(0)
			started(t, process(t, file, "cluster.node=last"))
			got := r.await(t, 15)
			for i := range 15 {
				if want := fmt.Sprintf(`moot.room.created {"room":"%d-%d"}`, i/5, i%5); got[i] != want {
					t.Errorf("event %d is %s, want %s", i, got[i], want)
				}
			}
		})
	}
}
