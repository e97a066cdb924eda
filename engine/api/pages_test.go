package api_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	asking "github.com/mootchat/moot/engine/api/client"
	"github.com/mootchat/moot/engine/cluster/memory"
	"github.com/mootchat/moot/host/report"
)

// asked records how many tenants a node is asked about at once.
type asked struct {
	mu   sync.Mutex
	most int
	all  bool
}

func (a *asked) Stats(tenants ...string) (found []report.Module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most, a.all = max(a.most, len(tenants)), a.all || len(tenants) == 0
	for _, t := range tenants {
		found = append(found, report.Module{Tenant: t, Name: "mask"}, report.Module{Tenant: t, Name: "gate"})
	}
	return found
}

func (*asked) Total(func(string) bool) report.Module { return report.Module{} }

func (*asked) Usage(q report.UsageQuery) report.Usage {
	u := report.Usage{Bindings: 4, Awake: 3, Asleep: 1}
	for i := range 5 {
		u.Tenants = append(u.Tenants, report.TenantUsage{Tenant: fmt.Sprint("t", i), CPU: float64(i), Memory: int64(10 - i)})
	}
	report.SortTenants(u.Tenants, q.By)
	u.Tenants = u.Tenants[:min(q.Top, len(u.Tenants))]
	return u
}

// TestTenantsAndModulesComeByPages checks that tenants and modules are listed in pages. A request asks a node only about the
// tenants of the page, and a request with the key of a tenant only about that tenant.
func TestTenantsAndModulesComeByPages(t *testing.T) {
	const tenants = 250
	modules := &asked{}
	n := start(t, memory.New().Node("one"), func(c *api.Config) { c.Modules = modules })
	settings := engine.Settings{}
	want := []string{"acme", "default"}
	for i := range tenants - 2 {
		want = append(want, fmt.Sprintf("t%03d", i))
	}
	for _, name := range want {
		settings.Tenants = append(settings.Tenants, engine.TenantConfig{Name: name, StartingRooms: []string{"hall"}})
	}
	if err := n.engine.Swap(t.Context(), settings, nil); err != nil {
		t.Fatal(err)
	}
	var names, of []string
	pages := 0
	for cursor := ""; ; {
		var page struct {
			Tenants []api.Tenant
			Modules []report.Module
			Cursor  string
		}
		_, answer := n.request("GET", "/api/tenants?limit=100&cursor="+cursor, "")
		_, answer2 := n.request("GET", "/api/modules?limit=100&cursor="+cursor, "")
		if json.Unmarshal([]byte(answer2), &page) != nil || json.Unmarshal([]byte(answer), &page) != nil || pages == 4 {
			t.Fatal(answer, answer2)
		}
		for _, tenant := range page.Tenants {
			names = append(names, tenant.Name)
			if tenant.Name != "acme" && tenant.Rooms == 0 {
				t.Errorf("%+v", tenant)
			}
		}
		for _, m := range page.Modules {
			of = append(of, m.Tenant)
		}
		pages++
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(names, want) || !slices.Equal(slices.Compact(of), want) || pages != 3 {
		t.Errorf("%d pages had %d tenants and modules of %d", pages, len(names), len(slices.Compact(of)))
	}
	if modules.most > 100 || modules.all {
		t.Errorf("a node was asked for the modules of %d tenants at once, or of all: %v", modules.most, modules.all)
	}
	modules.most = 0
	for _, path := range []string{"/api/tenants/acme/modules", "/api/tenants", "/api/tenants/acme"} {
		if status, answer := n.request("GET", path, "", withKey(acmeKey)); status != 200 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if modules.most != 1 || modules.all {
		t.Errorf("for a tenant's key a node was asked for the modules of %d tenants, or of all: %v", modules.most, modules.all)
	}
}

// TestTenantsAndModulesAreFoundByName checks the parameters search and tenants of both lists, with the key of the admin and
// of a tenant.
func TestTenantsAndModulesAreFoundByName(t *testing.T) {
	n := start(t, memory.New().Node("one"), func(c *api.Config) { c.Modules = &asked{} })
	settings := engine.Settings{}
	for i := range 250 {
		settings.Tenants = append(settings.Tenants, engine.TenantConfig{Name: fmt.Sprintf("t%03d", i)})
	}
	settings.Tenants = append(settings.Tenants, engine.TenantConfig{Name: "acme"})
	if err := n.engine.Swap(t.Context(), settings, nil); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"search=24":                     "[t024 t124 t224 t240 t241 t242 t243 t244 t245 t246 t247 t248 t249]",
		"search=24&limit=2":             "[t024 t124] t124",
		"search=24&cursor=t246":         "[t247 t248 t249]",
		"search=nobody":                 "[]",
		"tenants=t007,acme,t007,nobody": "[acme t007]",
		"tenants=t007,acme&search=ac":   "[acme]",
	} {
		for _, list := range []string{"tenants", "modules"} {
			status, answer := n.request("GET", "/api/"+list+"?"+query, "")
			var page struct {
				Tenants []struct{ Name string }
				Modules []struct{ Tenant string }
				Cursor  string
			}
			if err := json.Unmarshal([]byte(answer), &page); err != nil || status != 200 {
				t.Fatalf("%s?%s: %d %s", list, query, status, answer)
			}
			names := []string{}
			for _, tenant := range page.Tenants {
				names = append(names, tenant.Name)
			}
			for _, m := range page.Modules {
				names = append(names, m.Tenant)
			}
			if got := strings.TrimSpace(fmt.Sprint(slices.Compact(names), " ", page.Cursor)); got != want {
				t.Errorf("%s?%s: %s, want %s", list, query, got, want)
			}
		}
	}
	for query, want := range map[string]int{"": 1, "?search=cm": 1, "?search=t0": 0, "?tenants=t001": 0, "?tenants=acme,t001": 1} {
		_, answer := n.request("GET", "/api/tenants"+query, "", withKey(acmeKey))
		if got := strings.Count(answer, `"name":`); got != want || strings.Contains(answer, "t001") {
			t.Errorf("with the key of acme %q lists %s", query, answer)
		}
	}
}

// TestUsageOfAllNodesNamesTheCostliestTenants checks that the usage of two nodes has a report of each and the sums of the
// costliest tenants, that a node that does not answer is named, and that only the admin gets it.
func TestUsageOfAllNodesNamesTheCostliestTenants(t *testing.T) {
	hub := memory.New()
	with := func(c *api.Config) { c.Modules = &asked{} }
	n := start(t, hub.Node("one"), with)
	start(t, hub.Node("two"), with)
	start(t, hub.Node("three")) // has no modules, and refuses the question
	var u api.Usage
	for query, want := range map[string]string{"top=2": "[{t4 8 0 12 0} {t3 6 0 14 0}]", "by=memory&top=1": "[{t0 0 0 20 0}]", "top=0": "[]"} {
		status, answer := n.request("GET", "/api/usage?"+query, "")
		u = api.Usage{}
		if err := json.Unmarshal([]byte(answer), &u); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", query, status, answer)
		}
		if got := fmt.Sprint(u.Tenants); got != want {
			t.Errorf("%s: the costliest tenants are %s, want %s", query, got, want)
		}
	}
	if len(u.Nodes) != 2 || u.Nodes[0].Node != "one" || u.Nodes[1].Node != "two" || u.Nodes[1].Awake != 3 || !slices.Equal(u.Unreachable, []string{"three"}) {
		t.Errorf("%+v", u)
	}
	if status, _ := n.request("GET", "/api/usage?by=name", ""); status != 422 {
		t.Errorf("an unknown order: %d", status)
	}
	if status, answer := n.request("GET", "/api/usage", "", withKey(acmeKey)); status != 403 {
		t.Errorf("with the key of a tenant: %d %s", status, answer)
	}
}

// TestClientReadsAllPages checks that the client requests all pages of tenants and modules.
func TestClientReadsAllPages(t *testing.T) {
	modules := &asked{}
	n := start(t, memory.New().Node("one"), func(c *api.Config) { c.Modules = modules })
	settings := engine.Settings{}
	for i := range 1234 {
		settings.Tenants = append(settings.Tenants, engine.TenantConfig{Name: fmt.Sprintf("t%04d", i)})
	}
	if err := n.engine.Swap(t.Context(), settings, nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n.api.Handler())
	defer server.Close()
	c, err := asking.New(server.URL, adminKey)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Tenants(t.Context())
	if err != nil || len(all) != 1234 {
		t.Errorf("%d tenants, %v", len(all), err)
	}
	if found, _, err := c.Modules(t.Context()); err != nil || len(found) != 2468 {
		t.Errorf("%d modules, %v", len(found), err)
	}
}
