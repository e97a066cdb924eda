package api_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
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
