// Package demo serves a page to try Moot with: it connects to the WebSocket
// beside it, joins rooms, talks, and runs the actions that modules declare.
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

// MaxRooms is how many rooms the page lists at most; a user joins the others by name.
const MaxRooms = 100

// Handler serves the page, its files, and the list of rooms that the page shows.
//
// site gives the rooms that a request is shown, in order, and the path of the request
// within the site of its tenant: "/" is the page, and its WebSocket is "ws" beside it. A
// site without a trailing slash has the path "", and is redirected to the page. The page
// lists the first MaxRooms rooms; nil lists none. Only GET and HEAD are answered. The
// handler may be called concurrently, and calls site concurrently.
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
	h.Set("Cache-Control", "no-store") // a reload changes it
	shown := append([]string{}, rooms[:min(len(rooms), MaxRooms)]...)
	_ = json.NewEncoder(w).Encode(shown) // the client may have gone
}
