// Package page serves web pages whose files are embedded in the program.
package page

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
)

// policy allows a page to load files of its own host, and to connect to this host by HTTP
// and WebSocket. It forbids everything else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the files of a folder by their paths in it, and index.html for "/". It
// sets a Content-Security-Policy that allows only the page's own host. It answers GET
// and HEAD; other methods get 405, and unknown paths 404. The files must not change.
// The handler is safe for concurrent use. Handler panics if folder is not a valid path
// in all.
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
		h.Set("Cache-Control", "no-cache") // browsers ask each time, and usually get 304
		if tag := tags[r.URL.Path]; tag != "" {
			h.Set("ETag", tag)
		}
		server.ServeHTTP(w, r)
	})
}

// etags returns the ETag of each file by its request path. Embedded files have no
// modification time by which a browser could validate its copy.
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
		panic(err) // reading embedded files does not fail
	}
	tags["/"] = tags["/index.html"]
	return tags
}
