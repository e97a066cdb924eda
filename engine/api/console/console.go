// Package console serves the page for operators, with tables and charts of the server API. The page asks for a key
// and calls the API with it; the files of the page need none.
package console

import (
	"embed"
	"net/http"

	"github.com/mootchat/moot/engine/page"
)

//go:embed static
var static embed.FS

// Handler serves the page and its files, to be mounted at "/" beside the API: see
// [page.Handler].
func Handler() http.Handler { return page.Handler(static, "static") }
