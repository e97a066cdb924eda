// Package page serves the files of a page that are embedded in the program.
package page

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
)

// policy lets a page load its own files, ask its own host, by WebSocket too, and
// nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the files of a folder under their paths in it, index.html for "/", with
// a Content-Security-Policy under which they need nothing from elsewhere. It answers GET
// and HEAD, 404 for every other path, and may be used concurrently. The files must not
// change. It panics if folder is no path in all.
func Handler(all fs.FS, folder string) http.Handler {
	files, err := fs.Sub(all, folder)
	if err != nil {
		panic(err)
	}
	tags := etags(files)
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache") // ask again, and mostly hear 304
		if tag := tags[r.URL.Path]; tag != "" {
			h.Set("ETag", tag)
		}
		server.ServeHTTP(w, r)
	})
}

// etags are the files' tags by the path they are asked for at. Embedded files have
// no time of change, so nothing else tells a browser that its copy still holds.
func etags(files fs.FS) map[string]string {
	tags := map[string]string{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		tags["/"+name] = fmt.Sprintf(`"%x"`, sha256.Sum256(content))
		return nil
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	tags["/"] = tags["/index.html"]
	return tags
}
