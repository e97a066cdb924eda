package node

import (
	"net/http"

	"github.com/mootchat/moot/engine/demo"
)

// demo returns the demo page, or nil if http.demo is false.
func (n *Node) demo() http.Handler {
	if !n.cfg.HTTP.Demo {
		return nil
	}
	return demo.Handler(n.site)
}

// site returns the starting rooms of the tenant of a request, from the configuration in use, and the path
// within the site of the tenant. If clients need a token, it returns no rooms, because the page is served
// without a token.
func (n *Node) site(r *http.Request) (rooms []string, path string) {
	name, path := n.engine.Match(r.Host, r.URL.Path)
	tenant := n.reloader.current.Load().Tenants[name]
	if tenant.Auth.JWT.Required {
		return nil, path
	}
	return tenant.Rooms.Starting, path
}
