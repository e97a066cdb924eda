package engine_test

import (
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
)

func TestTheMostSpecificTenantTakesARequest(t *testing.T) {
	e := enginetest.New(t, func(c *engine.Config) {
		c.Tenants = []engine.TenantConfig{
			{Name: "default"},
			{Name: "host", Hosts: []string{"a.example", "10.0.0.1", "::1"}},
			{Name: "path", Paths: []string{"/p", "/p/q/r"}},
			{Name: "both", Hosts: []string{"b.example"}, Paths: []string{"/p/q"}},
		}
	})
	for _, test := range []struct{ host, path, tenant, rest string }{
		{"", "", "default", ""},
		{"c.example", "/ws", "default", "/ws"},
		{"a.example", "/ws", "host", "/ws"},
		{"A.Example.:8080", "/ws", "host", "/ws"},
		{"10.0.0.1:80", "/", "host", "/"},
		{"[::1]:80", "/", "host", "/"},
		{"b.example", "/ws", "both", "/ws"},
		{"a.example", "/p/ws", "path", "/ws"},
		{"c.example", "/p", "path", ""},
		{"c.example", "/pp", "default", "/pp"},
		{"c.example", "/p/q/x", "both", "/x"},
		{"b.example", "/p/q/r/s", "path", "/s"},
		{"b.example", "/p/qq", "path", "/qq"},
	} {
		if tenant, rest := e.Match(test.host, test.path); tenant != test.tenant || rest != test.rest {
			t.Errorf("%s%s is of %s, rest %q; want %s, %q", test.host, test.path, tenant, rest, test.tenant, test.rest)
		}
	}
}
