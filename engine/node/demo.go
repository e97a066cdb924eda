package node

import (
	"net/http"

	"github.com/mootchat/moot/engine/demo"
)

// demo is the demo page, nil where http.demo is false.
func (n *Node) demo() http.Handler {
	if !n.cfg.HTTP.Demo {
		return nil
	}
	return demo.Handler(n.site)
}

// site gives the starting rooms of a request's tenant, as the configuration in use
// lists them, and the path within the tenant's site. Where clients need a token no room
// is listed: the page is served without one.
func (n *Node) site(r *http.Request) (rooms []string, path string) {
	name, path := n.engine.Match(r.Host, r.URL.Path)
	tenant := n.reloader.current.Load().Tenants[name]
	if tenant.Auth.JWT.Required {
		return nil, path
	}
	return tenant.Rooms.Starting, path
}
