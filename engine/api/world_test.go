package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/hook"
	sanctionmemory "github.com/mootchat/moot/engine/moderation/memory"
	reviewmemory "github.com/mootchat/moot/engine/review/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	adminKey = "the-key-of-the-admin"
	acmeKey  = "the-key-of-tenant-acme"
)

// keys returns the key of the admin, and keys of tenants.
func keys(tenants map[string]string) []api.Key {
	all := []api.Key{{Name: "admin", Text: adminKey, Role: "operator"}}
	for name, text := range tenants {
		all = append(all, api.Key{Name: "tenant:" + name, Text: text, Role: "operator", Tenants: []string{name}})
	}
	return all
}

// node is a node under test.
type node struct {
	t      testing.TB
	engine *engine.Engine
	api    *api.Server
	review reviewmemory.Store
	events sinks
}

// start runs a node of the cluster until the test ends; change may change its configuration.
func start(t *testing.T, cluster cluster.Backend, change ...func(*api.Config)) *node {
	t.Helper()
	return startWith(t, cluster, []engine.TenantConfig{{Name: "default", StartingRooms: []string{"lobby"}}, {Name: "acme", StartingRooms: []string{"den"}}}, change...)
}

func startWith(t testing.TB, cluster cluster.Backend, tenants []engine.TenantConfig, change ...func(*api.Config)) *node {
	t.Helper()
	n := &node{t: t, events: newSinks()}
	n.engine = enginetest.New(t, func(c *engine.Config) {
		c.Tenants, c.Cluster, c.Moderation, c.Review = tenants, cluster, &sanctionmemory.Store{}, &n.review
		c.Middleware = new(enginetest.Middleware).On(hook.OnSayReceive, func(context.Context, *hook.Event) hook.Verdict { return hook.Verdict{} })
		c.Operator = func(ctx context.Context, q json.RawMessage) (json.RawMessage, error) { return n.api.Answer(ctx, q) }
	})
	cfg := api.Config{Engine: n.engine, Version: "test", Keys: keys(map[string]string{"acme": acmeKey}), Log: slog.New(slog.DiscardHandler), Events: n.events}
	for _, f := range change {
		f(&cfg)
	}
	n.api = api.New(cfg)
	enginetest.Run(t, n.engine)
	return n
}

func alone(t *testing.T, change ...func(*api.Config)) *node {
	return start(t, memory.New().Node("one"), change...)
}

// request sends a request with the admin key; change may change the request.
func (n *node) request(method, path, body string, change ...func(*http.Request)) (status int, answer string) {
	n.t.Helper()
	var sent io.Reader
	if body != "" {
		sent = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, sent)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	n.api.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func withKey(key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

// code returns the code of a fault; "" for other answers.
func code(answer string) string {
	var f api.Fault
	if json.Unmarshal([]byte(answer), &f) != nil {
		return ""
	}
	return f.What.Code
}
