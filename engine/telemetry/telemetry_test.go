package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/telemetry"
	"github.com/mootchat/moot/engine/telemetry/telemetrytest"
	"github.com/mootchat/moot/engine/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// rules denies the message "bad secret" and fails for "worse secret". It is called at
// each hook except connect.
func rules() *enginetest.Middleware {
	m := &enginetest.Middleware{
		Declared: map[string]hook.ActionSpec{"wave": {}},
		Say:      func(*hook.Event, []hook.Member) hook.Delivery { return hook.Delivery{All: hook.AsIs} },
	}
	for _, h := range []hook.Hook{hook.Join, hook.OnSayReceive, hook.Leave, hook.Disconnect, hook.Action} {
		m.On(h, func(_ context.Context, ev *hook.Event) hook.Verdict {
			switch ev.Message.Text {
			case "bad secret":
				return hook.Verdict{Outcome: hook.Denied, Reason: "not here", Module: "gate@1234#5678"}
			case "worse secret":
				return hook.Verdict{Outcome: hook.Failed, Module: "gate@1234#5678"}
			}
			return hook.Verdict{}
		})
	}
	return m
}

func open(t *testing.T, endpoint string, sample float64) (*telemetry.Traces, *enginetest.Log) {
	t.Helper()
	log := &enginetest.Log{}
	traces, err := telemetry.Open(t.Context(), telemetry.Config{Endpoint: endpoint, Headers: map[string]string{"Authorization": "Bearer key"},
		Sample: sample, Version: "v1", Node: "n1", Log: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	return traces, log
}

// run runs requests of one client on a node with traces.
func run(t *testing.T, traces *telemetry.Traces, requests ...string) {
	t.Helper()
	backend := memory.New().Node("n1")
	backend.Broker = traces.Broker(backend.Broker)
	e := enginetest.Start(t, func(c *engine.Config) {
		c.Tenants[0].Name = "acme"
		c.Middleware, c.Tracer, c.Cluster = traces.Middleware(rules()), traces, backend
	})
	c, err := enginetest.Connect(t, e.Engine, wire.WebSocket, engine.ReservationRequest{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	c.Run(requests...)
	c.Close(engine.CloseQuit)
	<-c.Gone
	e.Stop()
}

func end(t *testing.T, traces *telemetry.Traces) {
	t.Helper()
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func flush(t *testing.T, traces *telemetry.Traces) {
	t.Helper()
	if err := traces.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// find returns the span with that name and those attributes. The span must be a child
// of parent, or have no parent if parent is nil.
func find(t *testing.T, c *telemetrytest.Collector, name string, parent *telemetrytest.Span, attributes map[string]string) *telemetrytest.Span {
	t.Helper()
	spans, _ := c.Spans()
	for _, s := range spans {
		fits := s.Name == name && (parent == nil && s.Parent == "" || parent != nil && s.Parent == parent.ID && s.Trace == parent.Trace)
		for key, want := range attributes {
			fits = fits && s.Attributes[key] == want
		}
		if fits {
			return &s
		}
	}
	t.Fatalf("no span %q with %v and the parent %+v in\n%s", name, attributes, parent, c)
	return nil
}

func TestVerbsAndTheirHooksAreTraced(t *testing.T) {
	c := telemetrytest.Start(t)
	traces, log := open(t, c.URL, 1)
	run(t, traces,
		`{"event":"roomAdd","room":"r"}`, `{"event":"roomAdd","room":"absent"}`, `{"event":"say","room":"r","message":"good secret"}`,
		`{"event":"say","room":"r","message":"bad secret"}`, `{"event":"say","room":"r","message":"worse secret"}`,
		`{"event":"made up","room":"`+strings.Repeat("x", 300)+`"}`,
		`{"event":"action","params":{"action":"wave"}}`)
	end(t, traces)

	about := map[string]string{"moot.tenant": "acme", "moot.room": "r"}
	join := find(t, c, "roomAdd", nil, map[string]string{"moot.tenant": "acme", "moot.room": "r", "moot.transport": "websocket"})
	find(t, c, "hook join", join, map[string]string{"moot.outcome": "allowed"})
	denied := find(t, c, "say", nil, map[string]string{"moot.refused": "not here"})
	if find(t, c, "hook onSayReceive", denied, map[string]string{"moot.outcome": "denied", "moot.module": "gate@1234#5678"}).Failed || denied.Failed {
		t.Error("a denied request has failed")
	}
	failed := find(t, c, "say", nil, map[string]string{"moot.refused": "middleware error"})
	if !find(t, c, "hook onSayReceive", failed, map[string]string{"moot.outcome": "failed"}).Failed {
		t.Error("the span of a module that failed is not a failure")
	}
	find(t, c, "verb", nil, map[string]string{"moot.room": strings.Repeat("x", 200), "moot.refused": "verb not found or not allowed (made up)"})
	if absent := find(t, c, "roomAdd", nil, map[string]string{"moot.room": "absent", "moot.refused": "room does not exist"}); absent.Failed {
		t.Error("a room that does not exist is a failure")
	}
	action := find(t, c, "action", nil, map[string]string{"moot.action": "wave"})
	find(t, c, "hook action", action, map[string]string{"moot.action": "wave", "moot.outcome": "allowed"})
	find(t, c, "hook say", nil, map[string]string{"moot.tenant": "acme", "moot.room": "r", "moot.members": "1"})
	find(t, c, "hook disconnect", nil, nil)

	spans, header := c.Spans()
	published := 0
	for _, s := range spans {
		if s.Name == "publish" {
			find(t, c, "publish", find(t, c, "say", nil, about), about)
			published++
		}
		if text := fmt.Sprint(s.Attributes); strings.Contains(text, "secret") {
			t.Errorf("a span contains the text of a message: %s", text)
		}
		if s.Resource["service.name"] != "moot" || s.Resource["service.version"] != "v1" || s.Resource["service.instance.id"] != "n1" {
			t.Errorf("the sender is %v", s.Resource)
		}
	}
	if published != 1 {
		t.Errorf("%d messages were published, want 1:\n%s", published, c)
	}
	if header.Get("Authorization") != "Bearer key" || c.Paths()[0] != "/v1/traces" {
		t.Errorf("requests for %v with %v", c.Paths(), header)
	}
	if log.String() != "" {
		t.Errorf("the log:\n%s", log)
	}
}

// TestAsksAreTraced checks the spans of questions to external services: they are children of the chain's span, and have the result
// but no text.
func TestAsksAreTraced(t *testing.T) {
	c := telemetrytest.Start(t)
	traces, log := open(t, c.URL, 1)
	for _, result := range []struct {
		answer ask.Answer
		err    error
		want   map[string]string
		failed bool
	}{
		{ask.Answer{Status: 404, Body: []byte(`"secret"`), Cached: true}, nil, map[string]string{"http.response.status_code": "404", "moot.cached": "bool_value:true"}, false},
		{ask.Answer{}, &ask.Failure{Kind: ask.Timeout, Err: errors.New("secret")}, map[string]string{"moot.outcome": "timeout"}, true},
		{ask.Answer{}, &ask.BusyError{Wait: time.Second}, map[string]string{"moot.outcome": "busy"}, false},
		{ask.Answer{}, context.Canceled, map[string]string{"moot.outcome": "ended"}, false},
	} {
		name := fmt.Sprint("score", len(result.want), result.failed, result.err)
		rules := traces.Middleware(new(enginetest.Middleware).On(hook.Join, func(ctx context.Context, _ *hook.Event) hook.Verdict {
			_, end := traces.Ask(ctx, "acme", name)
			end(result.answer, result.err)
			return hook.Verdict{}
		}))
		rules.Decide(t.Context(), &hook.Event{Hook: hook.Join, Tenant: "acme", Room: name})
		flush(t, traces)
		want := map[string]string{"moot.tenant": "acme", "moot.ask": name}
		maps.Copy(want, result.want)
		chain := find(t, c, "hook join", nil, map[string]string{"moot.room": name})
		if s := find(t, c, "ask", chain, want); s.Failed != result.failed || strings.Contains(fmt.Sprint(s.Attributes), `"secret"`) {
			t.Errorf("%+v", s)
		}
	}
	end(t, traces)
	if log.String() != "" {
		t.Errorf("the log:\n%s", log)
	}
}

// TestAmendmentsAreTraced checks the spans of an edit and a retraction by the author, of a refused edit, and of a retraction by the
// server API, which begins a trace.
func TestAmendmentsAreTraced(t *testing.T) {
	c := telemetrytest.Start(t)
	traces, _ := open(t, c.URL, 1)
	backend := memory.New().Node("n1")
	backend.Broker = traces.Broker(backend.Broker)
	e := enginetest.Start(t, func(c *engine.Config) {
		c.Tracer, c.Cluster = traces, backend
		c.Tenants[0].Rooms = []engine.RoomSettings{{Match: func(string) bool { return true }, Retention: cluster.Retention{Messages: 1, For: time.Hour}}}
	})
	who, err := enginetest.Connect(t, e.Engine, wire.WebSocket, engine.ReservationRequest{})
	if err != nil {
		t.Fatal(err)
	}
	room := cluster.RoomID{Tenant: "default", Room: "r"}
	who.Run(`{"event":"roomAdd","room":"r"}`, `{"event":"say","room":"r","message":"secret"}`)
	stored, _, err := e.StoredMessages(t.Context(), room, 0, 1)
	if err != nil || len(stored) != 1 {
		t.Fatalf("history has %s, %v", stored, err)
	}
	id := wire.PayloadID(stored[0])
	who.Run(`{"event":"edit","room":"r","id":"`+id+`","message":"another secret"}`, `{"event":"retract","room":"r","id":"`+id+`"}`)
	if err := e.RetractMessage(t.Context(), room, "unknown", "mia"); err != nil {
		t.Error(err)
	}
	who.Close(engine.CloseQuit)
	<-who.Gone
	e.Stop()
	end(t, traces)
	about := map[string]string{"moot.tenant": "default", "moot.room": "r"}
	find(t, c, "publish edit", find(t, c, "edit", nil, about), about)
	find(t, c, "publish retract", find(t, c, "retract", nil, about), about)
	find(t, c, "publish retract", nil, about)
	if strings.Contains(c.String(), "secret") {
		t.Errorf("a span contains the text of a message:\n%s", c)
	}
}

// TestAShareOfTheVerbsIsTraced checks that with a sample rate each trace is complete or
// absent.
func TestAShareOfTheVerbsIsTraced(t *testing.T) {
	c := telemetrytest.Start(t)
	traces, _ := open(t, c.URL+"/", 0.1)
	var many []string
	for range 40 {
		many = append(many, `{"event":"roomAdd","room":"r"}`, `{"event":"roomLeave","room":"r"}`)
	}
	for range 5 { // the rate limit allows no more for one connection
		run(t, traces, many...)
	}
	end(t, traces)
	spans, _ := c.Spans()
	count := map[string]int{}
	for _, s := range spans {
		count[s.Name]++
	}
	if n := count["roomAdd"] + count["roomLeave"]; n < 10 || n > 100 {
		t.Errorf("of 400 verbs %d were traced, want a tenth", n)
	}
	for _, s := range spans {
		if (s.Name == "hook join" || s.Name == "hook leave") && s.Parent == "" {
			t.Errorf("a hook without its verb: %v", s)
		}
	}
}

// TestUnreachableCollector checks that an unreachable collector causes dropped spans
// and one log line.
func TestUnreachableCollector(t *testing.T) {
	c := telemetrytest.Start(t)
	c.Fail(true)
	traces, log := open(t, c.URL+"/other", 1)
	run(t, traces, `{"event":"detailsView"}`)
	flush(t, traces)
	run(t, traces, `{"event":"detailsView"}`)
	flush(t, traces)
	if n := strings.Count(log.String(), "traces cannot be sent"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log)
	}
	c.Fail(false)
	run(t, traces, `{"event":"detailsView"}`)
	end(t, traces)
	find(t, c, "detailsView", nil, nil)
	if !strings.Contains(log.String(), "traces can be sent again") {
		t.Errorf("the log:\n%s", log)
	}
	if c.Paths()[0] != "/other" {
		t.Errorf("requests for %v", c.Paths())
	}
}

// TestCloseDoesNotWaitForACollector checks that Close stops waiting for a collector
// that does not answer when its context ends.
func TestCloseDoesNotWaitForACollector(t *testing.T) {
	silent := make(chan struct{})
	c := telemetrytest.Start(t)
	c.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	})
	defer close(silent)
	traces, _ := open(t, c.URL, 1)
	run(t, traces, `{"event":"detailsView"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := traces.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close returned %v", err)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// TestRedirectsToAnotherServerAreNotFollowed checks that a redirect to another server
// is not followed, because the headers may contain a password.
func TestRedirectsToAnotherServerAreNotFollowed(t *testing.T) {
	var elsewhere, asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer collector.Close()
	traces, log := open(t, collector.URL, 1)
	run(t, traces, `{"event":"detailsView"}`)
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if asked.Load() == 0 || elsewhere.Load() > 0 || !strings.Contains(log.String(), "redirects to another server") {
		t.Errorf("%d requests, %d to the other server:\n%s", asked.Load(), elsewhere.Load(), log)
	}
}
