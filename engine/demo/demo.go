// Package demo serves a page to try Moot with: it connects to the WebSocket
// beside it, joins rooms, talks, and runs the actions that modules declare.
package demo

import (
	"embed"
	"net/http"

	"github.com/mootchat/moot/engine/page"
)

//go:embed static
var static embed.FS

// Handler serves the page and its files, to be mounted where the WebSocket's path
// is "ws" beside it: see [page.Handler].
func Handler() http.Handler { return page.Handler(static, "static") }
