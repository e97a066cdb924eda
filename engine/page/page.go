// Package page serves web pages whose files are embedded in the program.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"
)

// policy allows a page to load files of its own host, and to connect to this host by HTTP
// and WebSocket. It forbids everything else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the files of a folder by their paths in it, and index.html for "/". It
// sets a Content-Security-Policy that allows only the page's own host. It compresses a file
// when a client that accepts gzip first requests it, and keeps the result. It answers GET
// and HEAD; other methods get 405, and unknown paths 404. The files must not change.
// The handler is safe for concurrent use. Handler panics if folder is not a valid path
// in all.
func Handler(all fs.FS, folder string) http.Handler {
	files, err := fs.Sub(all, folder)
	if err != nil {
		panic(err)
	}
	known := read(files)
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
		h.Set("Vary", "Accept-Encoding")
		if f := known[r.URL.Path]; f != nil {
			h.Set("ETag", `"`+f.digest+`"`)
			if acceptsGzip(r) {
				f.serve(w, r)
				return
			}
		}
		server.ServeHTTP(w, r)
	})
}

// file is a file of the page.
type file struct {
	name   string
	digest string        // embedded files have no modification time by which a browser could validate its copy
	zipped func() []byte // compresses the file once
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"`+f.digest+`-gzip"`)
	w.Header().Set("Content-Encoding", "gzip")
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.zipped()))
}

// acceptsGzip reports whether the client accepts gzip.
func acceptsGzip(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(header, ",") {
			name, weight, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return strings.Trim(weight, "qQ=0. \t") != "" || weight == ""
			}
		}
	}
	return false
}

// read returns the files by their request paths.
func read(files fs.FS) map[string]*file {
	all := map[string]*file{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		all["/"+name] = &file{name: name, digest: fmt.Sprintf("%x", sha256.Sum256(content)), zipped: sync.OnceValue(func() []byte { return compress(content) })}
		return nil
	})
	if err != nil {
		panic(err) // reading embedded files does not fail
	}
	if index := all["/index.html"]; index != nil {
		all["/"] = index
		delete(all, "/index.html") // redirects to "/"
	}
	return all
}

func compress(content []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(content) // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}
