package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/events"
)

// deaf is a node in the cluster that does not answer.
type deaf struct{ cluster.Handler }

func (deaf) Answer(ctx context.Context, call []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestANodeThatDoesNotAnswerIsAnErrorAndNoHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.New()
		n := start(t, hub.Node("one"), newProgram().use)
		c := n.client("acme")
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- hub.Node("two").Nodes.Run(ctx, deaf{}) }()
		defer func() { stop(); <-ended }()
		synctest.Wait()

		const lost = "two-0123456789abcdef"
		for _, ask := range [][3]string{
			{"GET", "/api/tenants/acme/connections/" + lost, ""}, {"DELETE", "/api/tenants/acme/connections/" + lost, ""},
			{"PATCH", "/api/tenants/acme/connections/" + lost + "/properties", `{"a":1}`}, {"POST", "/api/tenants/acme/connections/" + lost + "/messages", `{"message":"x"}`},
			{"PUT", "/api/tenants/acme/rooms/den/members/" + lost, ""}, {"DELETE", "/api/tenants/acme/rooms/den/members/" + lost, ""},
			{"POST", "/api/tenants/acme/rooms/den/messages", `{"message":"x","from":"` + lost + `"}`}, {"GET", "/api/decisions?node=two", ""},
		} {
			began := time.Now()
			status, answer := n.request(ask[0], ask[1], ask[2])
			if status != http.StatusGatewayTimeout || code(answer) != api.CodeTimeout || !strings.Contains(answer, "two") || time.Since(began) > 6*time.Second {
				t.Errorf("%s %s: %d %s after %v", ask[0], ask[1], status, answer, time.Since(began))
			}
		}
		for path, want := range map[string]string{
			"/api/nodes":                    `"name":"two","error":"node two did not answer in 3s`,
			"/api/tenants":                  `"unreachable":["two"]`,
			"/api/modules":                  `"unreachable":["two"]`,
			"/api/decisions":                `"unreachable":["two"]`,
			"/api/tenants/acme/connections": `"unreachable":["two"]`,
		} {
			status, answer := n.request("GET", path, "")
			if status != http.StatusOK || !strings.Contains(answer, want) {
				t.Errorf("%s: %d %s", path, status, answer)
			}
		}
		if _, answer := n.request("GET", "/api/tenants/acme/connections", ""); !strings.Contains(answer, c.ID()) {
			t.Errorf("the connections of the node that answers are missing: %s", answer)
		}
		if status, answer := n.request("POST", "/api/reload?nodes=all", ""); status != http.StatusOK || !strings.Contains(answer, `"ok":false,"problems":["node two did not answer`) || !strings.HasPrefix(answer, `{"ok":false`) {
			t.Errorf("%d %s", status, answer)
		}
	})
}

// TestErasureNamesAllNodesThatFail checks that the error of an erasure names each node that did not answer, and has the number of
// events that all other nodes removed.
func TestErasureNamesAllNodesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.New()
		n := start(t, hub.Node("one"))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		others := []string{"four", "nine"} // before node one, in the order of the names
		for _, name := range others {
			go func() { ended <- hub.Node(name).Nodes.Run(ctx, deaf{}) }()
		}
		defer func() {
			stop()
			for range others {
				<-ended
			}
		}()
		synctest.Wait()
		event := events.NewEvent(events.NewID(), events.MemberJoined, "den", "bob", events.Member{Room: "den", User: "bob"})
		if err := n.events.Store().Append(t.Context(), []events.Record{{Sink: events.Sink{Tenant: "acme", Name: "crm"}, Event: event}}); err != nil {
			t.Fatal(err)
		}
		status, answer := n.request("DELETE", "/api/tenants/acme/users/bob/events", "")
		if status != http.StatusGatewayTimeout || code(answer) != api.CodeOutcomeUnknown || !strings.Contains(answer, "1 events were removed") || strings.Contains(answer, "node one") {
			t.Errorf("%d %s", status, answer)
		}
		for _, name := range others {
			if !strings.Contains(answer, "node "+name+" (") {
				t.Errorf("node %s is missing: %s", name, answer)
			}
		}
	})
}

func TestConnectionsOfAllNodesAreListedOnceEach(t *testing.T) {
	hub := memory.New()
	one, two := start(t, hub.Node("one")), start(t, hub.Node("two"))
	start(t, hub.Node("three")) // a node without connections
	var want, got []string
	for range 5 {
		want = append(want, one.client("acme").ID(), two.client("acme").ID())
		two.client("default")
	}
	for cursor, page := "", 0; ; page++ {
		status, answer := one.request("GET", "/api/tenants/acme/connections?limit=2&cursor="+cursor, "")
		var list struct {
			Connections []engine.ConnectionInfo
			Cursor      string
		}
		if err := json.Unmarshal([]byte(answer), &list); err != nil || status != 200 || page > 5 || len(list.Connections) > 2 {
			t.Fatalf("page %d: %d %s", page, status, answer)
		}
		for _, c := range list.Connections {
			got = append(got, c.ID)
		}
		if cursor = list.Cursor; cursor == "" {
			break
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNodesThatDifferAreNamed checks that readiness and metrics show that nodes run different versions or revisions, and
// that a node is asked at most once in ten seconds.
func TestNodesThatDifferAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.New()
		version := func(v string) func(*api.Config) {
			return func(c *api.Config) { c.Version = v }
		}
		one := start(t, hub.Node("one"), version("v1"))
		ready := func(want string) {
			t.Helper()
			if status, answer := one.request("GET", "/health/ready", ""); status != http.StatusOK || !strings.Contains(answer, want) {
				t.Errorf("ready: %d %s, want %s", status, answer, want)
			}
		}
		metrics := func(want string) {
			t.Helper()
			if _, answer := one.request("GET", "/metrics", ""); !strings.Contains(answer, want) {
				t.Errorf("metrics have no %s", want)
			}
		}
		ready(`"nodes":{"ok":true}`)
		start(t, hub.Node("two"), version("v2"))
		start(t, hub.Node("three"), version("v1"))
		ready(`"nodes":{"ok":true}`) // this result is less than ten seconds old
		time.Sleep(10 * time.Second)
		ready(`"nodes":{"ok":false,"detail":"the nodes run 2 different versions: v1 (one, three); v2 (two)"}`)
		metrics("moot_cluster_versions 2")
		metrics("moot_cluster_revisions 1")
	})
}

func TestDifferencesAreOfNodesThatAnswered(t *testing.T) {
	nodes := []api.Node{{Name: "a", Version: "v1", Revision: "0123456789"}, {Name: "b", Error: "gone"}, {Name: "c", Version: "v1", Revision: "0123456789"}}
	if err := api.DifferencesOf(nodes).Err(); err != nil {
		t.Error(err)
	}
	nodes = append(nodes, api.Node{Name: "d", Version: "v1", Revision: "abcdefghij"})
	if err := api.DifferencesOf(nodes).Err(); err == nil || err.Error() != "the nodes run 2 different revisions: 01234567 (a, c); abcdefgh (d)" {
		t.Error(err)
	}
}

// TestConnectionsWithDeafNodes checks that a page of connections names the nodes that do not answer, has the connections of
// all other nodes, and takes no longer with many such nodes than with one.
func TestConnectionsWithDeafNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memory.New()
		n, last := start(t, hub.Node("a")), start(t, hub.Node("z"))
		c, d := n.client("acme"), last.client("acme")
		ctx, stop := context.WithCancel(context.Background())
		var ended sync.WaitGroup
		defer func() { stop(); ended.Wait() }()
		want := `"unreachable":["d0"`
		for i := range 9 {
			if i > 0 {
				want += fmt.Sprintf(`,"d%d"`, i)
			}
			ended.Go(func() { _ = hub.Node(fmt.Sprint("d", i)).Nodes.Run(ctx, deaf{}) })
		}
		synctest.Wait()
		begin := time.Now()
		status, answer := n.request("GET", "/api/tenants/acme/connections", "")
		if took := time.Since(begin); status != http.StatusOK || !strings.Contains(answer, want+"]") || took > 3*time.Second {
			t.Errorf("%d after %v: %s", status, took, answer)
		}
		if !strings.Contains(answer, c.ID()) || !strings.Contains(answer, d.ID()) {
			t.Errorf("connections of nodes that answer are missing: %s", answer)
		}
		status, answer = n.request("GET", "/api/tenants/acme/connections?limit=1", "")
		if status != http.StatusOK || !strings.Contains(answer, c.ID()) || strings.Contains(answer, d.ID()) || strings.Contains(answer, "unreachable") {
			t.Errorf("a page of one: %d %s", status, answer)
		}
	})
}
