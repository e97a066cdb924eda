// Package demo serves the demo page. The page connects to the WebSocket "ws" beside it,
// joins rooms, sends messages, and runs actions of modules.
package demo

import (
	"embed"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/mootchat/moot/engine/page"
)

//go:embed static
var static embed.FS

// MaxRooms limits the rooms that the page lists. A user joins other rooms by name.
const MaxRooms = 100

// Handler serves the page, its files, and the list of rooms that the page shows.
//
// site returns the rooms to list for a request, in order, and the path of the request
// relative to its tenant's root: "/" is the page. For the path "", which is a root
// without a trailing slash, the handler redirects to the page. The page lists the first
// MaxRooms rooms. The handler answers GET and HEAD, is safe for concurrent use, and
// calls site concurrently.
func Handler(site func(*http.Request) (rooms []string, path string)) http.Handler {
	files := page.Handler(static, "static")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rooms, path := site(r)
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case path == "" && read:
			w.Header().Set("Location", r.URL.EscapedPath()[strings.LastIndexByte(r.URL.EscapedPath(), '/')+1:]+"/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case path == "/rooms.json" && read:
			serveRooms(w, rooms)
		default:
			inner := r.Clone(r.Context())
			inner.URL.Path, inner.URL.RawPath = path, ""
			files.ServeHTTP(w, inner)
		}
	})
}

func serveRooms(w http.ResponseWriter, rooms []string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // a reload may change the list
	shown := append([]string{}, rooms[:min(len(rooms), MaxRooms)]...)
	_ = json.NewEncoder(w).Encode(shown) // fails only if the client has disconnected
}
