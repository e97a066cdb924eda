// Package console serves the page for operators, with tables and charts of the server API. The page asks for a key and
// calls the API with it. The files of the page need no key.
package console

import (
	"embed"
	"net/http"

	"github.com/mootchat/moot/engine/page"
)

//go:embed static
var static embed.FS

// Handler serves the page and its files. It is mounted at "/" beside the API; see
// [page.Handler].
func Handler() http.Handler { return page.Handler(static, "static") }
