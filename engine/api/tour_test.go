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
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	asker "github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/engine/cluster/redis"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host/report"
)

// program implements all interfaces of api.Config.
type program struct {
	mu       sync.Mutex
	revision int
	values   map[[3]string][]byte
}

func newProgram() *program { return &program{revision: 1, values: map[[3]string][]byte{}} }

func (p *program) Revision() string { return fmt.Sprint("revision", p.revision) }

func (p *program) change(by int) api.Reload {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.Revision()
	p.revision += by
	return api.Reload{OK: true, Before: before, Revision: p.Revision()}
}

func (p *program) Reload(context.Context) api.Reload        { return p.change(1) }
func (p *program) Rollback(context.Context) api.Reload      { return p.change(-1) }
func (p *program) Kept() int                                { return 1 }
func (p *program) NeedsRestart() []string                   { return []string{"http.listen"} }
func (p *program) Last() *api.Reload                        { return nil }
func (p *program) Counts() (taken, partial, refused uint64) { return 3, 2, 1 }
func (p *program) Faults() []api.TenantFault {
	return []api.TenantFault{{Tenant: "acme", Kept: true, Problems: []string{"acme.yaml:3: tenants.acme.chain[0]: module m: it does not answer"}}}
}

func (p *program) Stats(...string) []report.Module {
	return []report.Module{{Tenant: "acme", Name: "mask", Version: "mask@0a1b2c3d#r1", Counters: report.Counters{Calls: 7}, Durations: report.Histogram{Bounds: []millis.Duration{1, 2}, Counts: []uint64{3, 2, 2}, Sum: 500}, Errors: map[string]uint64{"trap": 2}, Metrics: map[string]int64{"hits": 3}},
		{Tenant: "default", Name: "gate", Version: "gate@0a1b2c3d#r1"}}
}

func (p *program) Total(of func(string) bool) report.Module { return sumOf(p.Stats(), of) }

func (p *program) Usage(report.UsageQuery) report.Usage {
	var wakes histogram.Histogram
	wakes.Observe(time.Millisecond)
	took := wakes.Snapshot()
	return report.Usage{Bindings: 3, Awake: 1, Asleep: 2, ModulesCount: 2, Memory: report.Memory{Limit: 1 << 30, Code: 5 << 20, Instances: 3 << 20, Images: 2 << 20, Diffs: 64 << 10}, Images: 2,
		Wakes: report.HistogramOf(&took), Tenants: []report.TenantUsage{{Tenant: "acme", CPU: 0.1, CPUTime: 1500, Memory: 3 << 20, Awake: 1}}}
}

func (p *program) Decisions(f report.DecisionFilter) []report.Decision {
	all := []report.Decision{{At: 2, Tenant: "acme", Hook: "join", Module: "mask@0a1b2c3d#r1", Verdict: "deny", Reason: "no"},
		{At: 1, Tenant: "default", Hook: "say", Module: "gate@0a1b2c3d#r1", Verdict: "drop"}}
	return slices.DeleteFunc(all, func(d report.Decision) bool {
		return f.Tenant != "" && d.Tenant != f.Tenant || !f.Matches(&d)
	})
}

func (p *program) Try(_ context.Context, tenant, module string, t api.Trial) (api.Tried, error) {
	switch {
	case tenant != "acme" || module != "mask":
		return api.Tried{}, api.ErrNoModule
	case t.Event["hook"] == nil:
		return api.Tried{}, &engine.VerbError{Text: "hook: is required"}
	}
	return api.Tried{Hooks: []string{"join"}, Config: t.Config, Answer: map[string]any{"verdict": "allow"}, Took: 12}, nil
}

func (p *program) Get(_ context.Context, tenant, module, key string) ([]byte, error) {
	return p.values[[3]string{tenant, module, key}], nil
}

func (p *program) Set(_ context.Context, tenant, module, key string, value []byte, _ time.Duration) (bool, error) {
	k := [3]string{tenant, module, key}
	_, had := p.values[k]
	if p.values[k] = value; value == nil {
		delete(p.values, k)
	}
	return had, nil
}

func (p *program) List(_ context.Context, tenant, module, cursor string, limit int) (keys []string, next string, err error) {
	for k := range p.values {
		if k[0] == tenant && k[1] == module && k[2] > cursor {
			keys = append(keys, k[2])
		}
	}
	slices.Sort(keys)
	if len(keys) > limit {
		keys, next = keys[:limit], keys[limit-1]
	}
	return keys, next, nil
}

func (p *program) Record(ctx context.Context, q api.RecordQuery, f func([]byte) error) error {
	if err := f(fmt.Appendf(nil, "{\"tenant\":%q,\"room\":%q,\"text\":%t}\n", q.Tenant, q.Room, q.Text)); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (p *program) use(c *api.Config) {
	c.Rules, c.Modules, c.Decisions, c.Values, c.Trials, c.Recorder = p, p, p, p, p, p
	c.RequestsPerSecond = 200
}

// unlimited lets a key send as many requests as a tour has.
func unlimited(c *api.Config) { c.RequestsPerSecond = 1000 }

// tour calls all operations of the API of a node, and counts the calls.
type tour struct {
	*node
	asked map[string]int // by "METHOD path of the document"
	paths []string       // of the document, "METHOD path"
}

func newTour(n *node) *tour {
	r := &tour{node: n, asked: map[string]int{}}
	_, text := n.request("GET", "/api/openapi.json", "")
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || !strings.HasPrefix(document.OpenAPI, "3.1") {
		n.t.Fatalf("the document: %v, OpenAPI %q", err, document.OpenAPI)
	}
	for path, methods := range document.Paths {
		for method := range methods {
			r.paths = append(r.paths, strings.ToUpper(method)+" "+path)
		}
	}
	return r
}

// ask sends a request, and checks the status and a text of the answer.
func (r *tour) ask(method, path, body string, status int, text string) string {
	r.t.Helper()
	got, answer := r.request(method, path, body)
	if got != status || !strings.Contains(answer, text) {
		r.t.Errorf("%s %s %s: %d %s, want %d with %s", method, path, body, got, answer, status, text)
	}
	r.count(method, path)
	return answer
}

func (r *tour) count(method, path string) {
	path, _, _ = strings.Cut(path, "?")
	asked := strings.Split(path, "/")
	best, literal := "", -1
	for _, p := range r.paths {
		m, shape, _ := strings.Cut(p, " ")
		parts, same := strings.Split(shape, "/"), 0
		if m != method || len(parts) != len(asked) {
			continue
		}
		for i := range parts {
			switch {
			case parts[i] == asked[i]:
				same++
			case !strings.HasPrefix(parts[i], "{"):
				same = -1 << 10
			}
		}
		if same > literal {
			best, literal = p, same
		}
	}
	r.asked[best]++
}

// all calls each operation. c is a connection of acme on any node.
func (r *tour) all(c *enginetest.Client) {
	r.t.Helper()
	const acme = "/api/tenants/acme"
	conn := acme + "/connections/" + c.ID()

	r.ask("GET", "/api/key", "", 200, `{"name":"admin","role":"operator"}`)
	r.ask("GET", "/api/nodes", "", 200, `"ready":true`)
	r.ask("GET", "/api/tenants", "", 200, `{"name":"default"`)
	r.ask("GET", acme, "", 200, `"connections":1,"rooms":1`)
	r.ask("GET", "/api/tenants/none", "", 404, `"no_tenant"`)

	odd := asker.Path("odd/name %2F ..")
	r.ask("PUT", acme+"/rooms"+odd, "", 201, `"name":"odd/name %2F .."`)
	r.ask("PUT", acme+"/rooms"+odd, "", 200, `"membersCount":0`)
	r.ask("PUT", acme+"/rooms"+asker.Path(".."), "", 201, `"name":".."`)
	r.ask("PUT", acme+"/rooms/"+strings.Repeat("x", 201), "", 422, `"invalid"`)
	r.ask("PUT", acme+"/rooms/a%01b", "", 409, `"refused"`)
	r.ask("GET", acme+"/rooms?limit=2", "", 200, `{"name":".."},{"name":"den"}],"cursor":"den"`)
	r.ask("GET", acme+"/rooms?limit=2&cursor=den", "", 200, `{"name":"odd/name %2F .."}]}`)
	r.ask("GET", acme+"/rooms?prefix=de&counts=true", "", 200, `[{"name":"den","membersCount":0}]`)
	r.ask("GET", acme+"/rooms?limit=0", "", 422, `"invalid"`)
	r.ask("GET", acme+"/rooms/none", "", 404, `"no_room"`)

	r.ask("PUT", acme+"/rooms/den/members/"+c.ID(), "", 204, "")
	r.ask("PUT", acme+"/rooms/den/members/"+c.ID(), "", 204, "")
	r.ask("PUT", acme+"/rooms/none/members/"+c.ID(), "", 404, `"no_room"`)
	r.ask("PUT", "/api/tenants/default/rooms/lobby/members/"+c.ID(), "", 404, `"no_connection"`)
	r.ask("GET", acme+"/rooms/den", "", 200, `"membersCount":1`)
	r.ask("GET", acme+"/rooms/den/members", "", 200, c.ID())
	r.ask("GET", acme+"/rooms/den/members?cursor=no%20cursor", "", 422, `"invalid"`)
	r.ask("GET", acme+"/rooms/none/members", "", 404, `"no_room"`)

	r.ask("GET", acme+"/rooms/den/messages", "", 200, `"messages":[],"kept":false`)
	r.ask("POST", acme+"/rooms/den/messages", `{"message":"from the system"}`, 200, `"id":"`)
	c.Await(`"message":"from the system"`)
	r.ask("POST", acme+"/rooms/den/messages", `{"message":{"big":12345678901234567890},"from":"`+c.ID()+`"}`, 200, `"id":"`)
	c.Await(`"message":{"big":12345678901234567890}`)
	r.ask("DELETE", acme+"/rooms/den/messages/0123456789", "", 204, "")
	r.ask("DELETE", acme+"/rooms/den/messages/not%20an%20id", "", 422, "id of a message")
	r.ask("DELETE", acme+"/rooms/none/messages/0123456789?by=mod", "", 404, `"no_room"`)
	r.ask("PUT", acme+"/rooms/den/messages/0123456789", `{"message":"y","by":"mod"}`, 409, "message is not in history")
	r.ask("PUT", acme+"/rooms/den/messages/0123456789", `{}`, 422, "expected required property message")
	r.ask("POST", acme+"/rooms/none/messages", `{"message":"x"}`, 404, `"no_room"`)
	r.ask("POST", acme+"/rooms/den/messages", `{"message":"x","from":"nobody-0123456789abcdef"}`, 404, `"no_connection"`)
	r.ask("POST", acme+"/rooms/den/messages", `{"message":""}`, 409, `"refused"`)
	r.ask("POST", acme+"/rooms/den/messages", `{}`, 422, "expected required property message")
	r.ask("POST", acme+"/rooms/den/messages", `{"message":"x","form":"y"}`, 422, "unexpected property")
	r.ask("POST", acme+"/rooms/den/messages", `{"message":`, 400, `"invalid"`)
	r.ask("POST", acme+"/rooms/den/messages", "", 400, `"invalid"`)
	r.ask("POST", acme+"/rooms/den/messages", `{"message":"`+strings.Repeat("x", 1<<20)+`"}`, 413, `"too_large"`)

	r.ask("GET", acme+"/connections?limit=1", "", 200, `"id":"`+c.ID()+`"`)
	r.ask("GET", conn, "", 200, `"rooms":["den"]`)
	r.ask("GET", acme+"/connections/nobody-0123456789abcdef", "", 404, `"no_connection"`)
	r.ask("GET", "/api/tenants/default/connections/"+c.ID(), "", 404, `"no_connection"`)
	r.ask("PATCH", conn+"/properties", `{"role":"host","level":3,"gone":null}`, 204, "")
	r.ask("GET", conn, "", 200, `"properties":{"level":3,"role":"host"}`)
	r.ask("PATCH", conn+"/properties", `{"role":null}`, 204, "")
	r.ask("GET", conn, "", 200, `"properties":{"level":3}`)
	r.ask("PATCH", conn+"/properties", `{"big":"`+strings.Repeat("x", 17<<10)+`","level":4}`, 409, `properties too large`)
	r.ask("GET", conn, "", 200, `"properties":{"level":3}`)
	r.ask("POST", conn+"/messages", `{"message":{"alert":1}}`, 204, "")
	c.Await(`{"alert":1,"context":"api"}`)

	r.sanctions(acme + "/sanctions")
	r.sinks("acme")
	r.held("acme", "den", c)
	r.reports("acme", "den")
	r.users(acme)

	r.ask("DELETE", acme+"/rooms/den/members/"+c.ID(), "", 204, "")
	r.ask("DELETE", acme+"/rooms/den/members/"+c.ID(), "", 204, "")
	r.ask("PUT", acme+"/rooms"+odd+"/members/"+c.ID(), "", 204, "")
	r.ask("DELETE", acme+"/rooms"+odd, "", 204, "")
	c.Await("this room has been deleted")
	r.ask("DELETE", acme+"/rooms"+odd, "", 404, `"no_room"`)
	r.ask("GET", conn, "", 200, `"rooms":[]`)
	r.ask("DELETE", conn, "", 204, "")
	c.Await("bye removed by the server")

	r.ask("GET", "/api/modules", "", 200, `"version":"gate@0a1b2c3d#r1"`)
	r.ask("GET", "/api/history?span=2h", "", 200, `"stepTime":30000`)
	r.ask("GET", "/api/history?span=1y", "", 422, `"invalid"`)
	r.ask("GET", "/api/usage", "", 200, `"memory":{"limit":1073741824,"code":5242880,"instances":3145728`)
	if answer := r.ask("GET", acme+"/modules", "", 200, `"errors":{"trap":2}`); strings.Contains(answer, "gate") {
		r.t.Errorf("the tenant's modules are %s", answer)
	}
	const kv = acme + "/modules/mask/kv"
	r.ask("PUT", kv+"/ban%2Fann", `{"text":"spam","ttl":1000}`, 204, "")
	r.ask("PUT", kv+"/raw", `{"bytes":"/wA="}`, 204, "")
	r.ask("PUT", kv+"/both", `{"bytes":"/wA=","text":"x"}`, 422, `either text or bytes`)
	r.ask("PUT", kv+"/none", `{}`, 422, `either text or bytes`)
	r.ask("PUT", acme+"/modules/msak/kv/x", `{"text":"y"}`, 404, `no chain of tenant acme`)
	r.ask("GET", kv+"/ban%2Fann", "", 200, `{"text":"spam"}`)
	r.ask("GET", kv+"/raw", "", 200, `{"bytes":"/wA="}`)
	r.ask("GET", kv+"/none", "", 404, `"not_found"`)
	r.ask("GET", kv+"?limit=1", "", 200, `{"keys":["ban/ann"],"cursor":"ban/ann"}`)
	r.ask("GET", kv+"?cursor=ban%2Fann", "", 200, `{"keys":["raw"]}`)
	r.ask("DELETE", kv+"/raw", "", 204, "")
	r.ask("DELETE", kv+"/raw", "", 204, "")

	r.ask("GET", "/api/decisions?limit=1", "", 200, `"reason":"no"`)
	if answer := r.ask("GET", "/api/tenants/default/decisions?verdict=drop", "", 200, `"verdict":"drop"`); strings.Contains(answer, "acme") {
		r.t.Errorf("the tenant's decisions are %s", answer)
	}
	r.ask("GET", "/api/decisions?verdict=maybe", "", 422, `"invalid"`)
	r.ask("POST", acme+"/modules/mask/trials", `{"event":{"hook":"join"},"config":[1]}`, 200, `"config":[1],"hooks":["join"],"answer":{"verdict":"allow"},"took":12`)
	r.ask("POST", acme+"/modules/mask/trials", `{"event":{}}`, 409, `hook: is required`)
	r.ask("POST", acme+"/modules/mask/trials", `{"event":[]}`, 422, `"invalid"`)
	r.ask("POST", acme+"/modules/gate/trials", `{"event":{"hook":"join"}}`, 404, `"not_found"`)
	r.ask("POST", "/api/reload", "", 200, `"ok":true`)
	r.ask("POST", "/api/rollback?nodes=all", "", 200, `"ok":true`)

	if line := firstLine(r.node, acme+"/record?room=den&text=true", adminKey); line != `{"tenant":"acme","room":"den","text":true}` {
		r.t.Errorf("the recording has %q", line)
	}
	r.count("GET", acme+"/record")
	r.ask("GET", acme+"/record?text=perhaps", "", 422, `"invalid"`)

	for _, p := range r.paths {
		if r.asked[p] == 0 {
			r.t.Errorf("the tour does not ask for %s", p)
		}
	}
	if r.asked[""] > 0 || len(r.paths) < 25 {
		r.t.Errorf("%d requests are not in the document, which has %d operations", r.asked[""], len(r.paths))
	}
}

// users calls the operations for users, with the key of the tenant: the rate of the admin's key is used up.
func (r *tour) users(tenant string) {
	r.t.Helper()
	for _, q := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/connections?user=nobody", "", 200, `"connections":[]`},
		{"GET", "/users/nobody", "", 200, `"connections":[],"rooms":[],"sanctions":[]`},
		{"GET", "/users/nobody/messages?room=den", "", 200, `"messages":[]`},
		{"GET", "/users/nobody/messages?limit=201", "", 422, `"invalid"`},
		{"GET", "/desk?visit=v1&looking=none", "", 200, `"moderators":[]`},
		{"POST", "/users/nobody/messages", `{"message":"x"}`, 200, `"connections":0`},
		{"POST", "/users/nobody/messages", `{}`, 422, "expected required property message"},
		{"DELETE", "/users/nobody/connections", "", 200, `"connections":0`},
	} {
		status, answer := r.request(q.method, tenant+q.path, q.body, withKey(acmeKey))
		if status != q.status || !strings.Contains(answer, q.text) {
			r.t.Errorf("%s %s: %d %s, want %d with %s", q.method, q.path, status, answer, q.status, q.text)
		}
		r.count(q.method, tenant+q.path)
	}
}

// sanctions calls the operations for sanctions.
func (r *tour) sanctions(path string) {
	r.t.Helper()
	r.ask("POST", path, `{"user":"bob","kind":"mute","ttl":600000,"reason":"be kind","note":"twice"}`, 200, `"user":"bob","kind":"mute","rooms":"*","until":`)
	r.ask("POST", path, `{"user":"bob","kind":"mute","rooms":"*"}`, 200, `"by":"admin"`)
	r.ask("POST", path, `{"user":"bob","kind":"ban","rooms":"den"}`, 200, `"rooms":"den"`)
	r.ask("POST", path, `{"address":"2001:db8::1","kind":"ban"}`, 200, `"address":"2001:db8::/64"`)
	r.ask("POST", path, `{"address":"10.0.0.0/8","kind":"mute"}`, 422, "wide")
	r.ask("POST", path, `{"address":"10.0.0.0/8","kind":"mute","wide":true}`, 200, `"address":"10.0.0.0/8"`)
	r.ask("POST", path, `{"user":"bob","address":"10.0.0.1","kind":"mute"}`, 422, "either a user or a network")
	r.ask("POST", path, `{"user":"bob","kind":"mute","rooms":"[a"}`, 422, "rooms: ")
	r.ask("POST", path, `{"user":"bob","kind":"scold"}`, 422, `"invalid"`)
	r.ask("POST", "/api/tenants/none/sanctions", `{"user":"bob","kind":"mute"}`, 404, `"no_tenant"`)
	r.ask("GET", path+"?address=10.0.0.0/8", "", 200, `"address":"10.0.0.0/8"`)
	r.ask("GET", path+"?address=ten", "", 422, "query.address")
	r.ask("GET", path+"?user=bob&address=10.0.0.1", "", 422, "either user or address")
	r.ask("GET", path+"?cursor=*", "", 422, "not a cursor")
	var all []api.Sanction
	for cursor := ""; ; {
		var page struct {
			Sanctions []api.Sanction
			Cursor    string
		}
		answer := r.ask("GET", path+"?limit=1&user=bob&cursor="+cursor, "", 200, `"sanctions":[`)
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page.Sanctions...)
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(all) != 2 || all[0].User != "bob" || all[0].ID == all[1].ID {
		r.t.Errorf("bob's sanctions are %+v", all)
	}
	for _, s := range all {
		r.ask("DELETE", path+"/"+s.ID, "", 204, "")
		r.ask("DELETE", path+"/"+s.ID, "", 404, `"not_found"`)
	}
	r.ask("GET", path+"?user=bob", "", 200, `"sanctions":[]`)
}

// reports calls the operations for reports of a room.
func (r *tour) reports(tenant, room string) {
	r.t.Helper()
	path := "/api/tenants/" + tenant + "/reports"
	report := func(user, message string) string {
		now := time.Now()
		one := review.Item{ID: review.NewID(now), Tenant: tenant, At: now.UnixMilli(), User: user, Room: room, MessageID: message, From: "n-1", Address: "192.0.2.7",
			Unique: review.UniqueOf(review.Report, user, message), Reporters: []review.Reporter{{User: "eve", Reason: "rude", At: now.UnixMilli()}}}
		if message != "" {
			one.Message, one.Shown = wire.Message{Text: "darn"}, &review.Shown{Message: wire.Message{Text: "****"}, From: "n-1"}
		}
		stored, _, err := review.AddReport(r.t.Context(), &r.review, one, review.Limits{})
		if err != nil {
			r.t.Fatal(err)
		}
		return stored.ID
	}
	first, second := report("ann", "m1"), report("bob", "")
	list := r.ask("GET", path, "", 200, `"reports":[{"id":`)
	if !strings.Contains(list, first) || !strings.Contains(list, second) || !strings.Contains(list, `"messageId":"m1","message":"darn"`) || !strings.Contains(list, `"shown":{"message":"****","from":"n-1"}`) ||
		!strings.Contains(list, `"reports":1,"reporters":[{"user":"eve","reason":"rude"`) {
		r.t.Errorf("reports are %s", list)
	}
	r.ask("GET", path+"?user=bob&room=den&limit=1", "", 200, `"id":"`+second+`"`)
	r.ask("GET", path+"?cursor=*", "", 422, "not a cursor")
	r.ask("GET", path+"/none", "", 404, `"not_found"`)
	r.ask("GET", path+"/"+first, "", 200, `"outcome":"waiting"`)
	r.ask("POST", path+"/"+second+"/retract", `{}`, 409, `of a user`)
	r.ask("POST", path+"/"+first+"/dismiss", `{"reason":"fine"}`, 200, `"decision":{"action":"dismiss","by":"admin","reason":"fine"`)
	r.ask("POST", path+"/"+second+"/sanction", `{"kind":"loud"}`, 422, `"invalid"`)
	r.ask("POST", path+"/"+second+"/sanction", `{"kind":"mute","rooms":"`+room+`","ttl":60000,"reason":"calm down"}`, 200, `"outcome":"sanctioned"`)
	r.ask("GET", "/api/tenants/"+tenant+"/sanctions?user=bob", "", 200, `"kind":"mute","rooms":"`+room+`"`)
	r.ask("GET", path+"?decided=true&user=ann", "", 200, `"outcome":"dismissed"`)
	r.ask("GET", "/api/tenants/none/reports", "", 404, `"no_tenant"`)
}

// held calls the operations for held messages of a member of a room.
func (r *tour) held(tenant, room string, c *enginetest.Client) {
	r.t.Helper()
	path := "/api/tenants/" + tenant + "/held"
	hold := func(user, text string) string {
		now := time.Now()
		one := review.Item{ID: review.NewID(now), Tenant: tenant, At: now.UnixMilli(), Until: now.Add(time.Hour).UnixMilli(), User: user, Connection: "n-1", Address: "192.0.2.7",
			Room: room, Said: room, MessageID: "m1", Message: wire.Message{Text: text}, From: "n-1", Context: "user", SentAt: now.UnixMilli(), Reason: "a link", Rule: "links@1#1"}
		stored, _, err := review.Hold(r.t.Context(), &r.review, one, review.Limits{})
		if err != nil {
			r.t.Fatal(err)
		}
		return stored.ID
	}
	first, second := hold("ann", "one"), hold("bob", "two")
	list := r.ask("GET", path, "", 200, `"held":[{"id":`)
	if !strings.Contains(list, first) || !strings.Contains(list, second) || !strings.Contains(list, `"state":"open","outcome":"waiting","room":"den","user":"ann","connection":"n-1","address":"192.0.2.7","message":"one"`) {
		r.t.Errorf("held are %s", list)
	}
	r.ask("GET", path+"?user=bob&room=den&limit=1", "", 200, `"id":"`+second+`"`)
	r.ask("GET", path+"?cursor=*", "", 422, "not a cursor")
	r.ask("GET", path+"/"+first, "", 200, `"rule":"links@1#1","reason":"a link"`)
	r.ask("GET", path+"/none", "", 404, `"not_found"`)
	r.ask("POST", path+"/"+first+"/release", `{"reason":"fine"}`, 200, `"state":"decided","outcome":"released"`)
	c.Await(`"held":"` + first + `"`)
	r.ask("POST", path+"/"+first+"/reject", `{}`, 409, `"decided"`)
	r.ask("POST", path+"/"+first+"/release", `{}`, 409, "release by admin")
	r.ask("POST", path+"/"+second+"/reject", `{"reason":"`+strings.Repeat("x", 257)+`"}`, 422, `"invalid"`)
	r.ask("POST", path+"/"+second+"/reject", `{"reason":"`+strings.Repeat("é", 200)+`"}`, 409, "more than 256 bytes")
	r.ask("POST", path+"/"+second+"/reject", `{"reason":"no"}`, 200, `"decision":{"action":"reject","by":"admin","reason":"no"`)
	r.ask("POST", path+"/none/reject", `{}`, 404, `"not_found"`)
	r.ask("GET", path+"?decided=true&user=bob", "", 200, `"outcome":"rejected"`)
	r.ask("DELETE", "/api/tenants/"+tenant+"/users/bob/review", "", 200, `{"erased":1}`)
	r.ask("GET", path+"/"+second, "", 404, `"not_found"`)
	r.ask("GET", "/api/tenants/none/held", "", 404, `"no_tenant"`)
}

func TestEveryEndpointOnOneNode(t *testing.T) {
	n := alone(t, newProgram().use, unlimited)
	newTour(n).all(n.client("acme"))
}

func TestEveryEndpointOnTwoNodes(t *testing.T) {
	hub := memory.New()
	one, two := start(t, hub.Node("one"), newProgram().use, unlimited), start(t, hub.Node("two"), newProgram().use)
	newTour(one).all(two.client("acme"))
}

func TestEveryEndpointOnTwoNodesOverRedis(t *testing.T) {
	server := redistest.Start(t)
	one, two := start(t, onRedis(t, server, "one"), newProgram().use, unlimited), start(t, onRedis(t, server, "two"), newProgram().use)
	newTour(one).all(two.client("acme"))
}

func onRedis(t *testing.T, server *redistest.Server, name string) cluster.Backend {
	t.Helper()
	n, err := redis.Open(t.Context(), redis.Config{Addresses: []string{server.Address()}, Node: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n.Cluster()
}

func TestATenantsKeyIsShownItsTenantAlone(t *testing.T) {
	n := alone(t, newProgram().use)
	own, other := n.client("acme"), n.client("default")
	for path, want := range map[string]int{
		"/api/tenants": 200, "/api/tenants/acme": 200, "/api/tenants/acme/rooms": 200, "/api/tenants/acme/connections": 200,
		"/api/tenants/acme/sanctions": 200, "/api/tenants/default/sanctions": 403,
		"/api/tenants/acme/modules": 200, "/api/tenants/acme/decisions": 200, "/api/tenants/acme/modules/mask/kv": 200,
		"/api/tenants/acme/connections/" + own.ID():               200,
		"/api/tenants/acme/connections/" + other.ID():             404,
		"/api/tenants/acme/connections?cursor=" + other.ID():      200,
		"/api/tenants/acme/rooms/lobby":                           404,
		"/api/tenants/acme/rooms?cursor=lobby":                    200,
		"/api/tenants/default":                                    403,
		"/api/tenants/none":                                       403,
		"/api/modules":                                            403,
		"/api/decisions":                                          403,
		"/api/history":                                            403,
		"/api/usage":                                              403,
		"/api/nodes":                                              403,
		"/api/tenants/default/connections/" + other.ID():          403,
		"/api/tenants/acme%2F..%2Fdefault":                        403,
		"/api/tenants/acme/connections/..%2F..%2Fdefault%2Frooms": 404,
		"/api/tenants/acme/modules/mask/kv/..%2F..%2F..%2Fdefault%2Fmodules%2Fx": 404,
	} {
		status, answer := n.request("GET", path, "", withKey(acmeKey))
		if status != want || strings.Contains(answer, "lobby") && !strings.Contains(path, "lobby") || strings.Contains(answer, "gate@") || status == 200 && strings.Contains(answer, other.ID()) {
			t.Errorf("%s: %d %s, want %d", path, status, answer, want)
		}
	}
	for _, path := range []string{"/api/reload", "/api/rollback"} {
		if status, answer := n.request("POST", path, "", withKey(acmeKey)); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	status, answer := n.request("POST", "/api/tenants/acme/rooms/den/messages", `{"message":"x","from":"`+other.ID()+`"}`, withKey(acmeKey))
	if status != http.StatusNotFound || code(answer) != api.CodeNoConnection {
		t.Errorf("speaking as another tenant's connection: %d %s", status, answer)
	}
}
