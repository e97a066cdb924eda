package web

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

// Spec describes a service.
type Spec struct {
	URL     string
	Method  string            // POST, PUT or GET; "": POST. A GET has no body
	Headers map[string]string // sent with each request, beside Accept, Content-Type and User-Agent
	Timeout time.Duration     // of a question: to connect, to send it and to read the answer; at most ask.MaxTime; 0: 1 s
	Cache   time.Duration     // time for which the answer to a body is used again; 0: each question is a request

	Requests int     // at once; 0: 16
	Rate     float64 // requests in a second; a burst may be twice that; 0: no limit but that of the tenant

	// Restricted is for an address that the operator did not choose: only public addresses and Limits.Networks may be reached, and only by
	// https.
	Restricted bool
	Roots      *x509.CertPool `json:"-"` // authorities of the server's certificate; nil: the system's
}

func (s Spec) withDefaults() Spec {
	s.Method, s.Timeout, s.Requests = cmp.Or(s.Method, http.MethodPost), min(cmp.Or(s.Timeout, time.Second), ask.MaxTime), cmp.Or(s.Requests, 16)
	return s
}

// key identifies a service of a tenant. It depends on secrets.
type key [sha256.Size]byte

func (s *Spec) key(module, name string) (key, error) {
	if err := ask.CheckURL(s.URL); err != nil {
		return key{}, fmt.Errorf("url: %w", err)
	}
	if s.Restricted && !strings.HasPrefix(s.URL, "https:") {
		return key{}, errors.New("url: it does not begin with https://")
	}
	if !slices.Contains(methods(), s.Method) {
		return key{}, fmt.Errorf("method: %q is not one of %s", s.Method, strings.Join(methods(), ", "))
	}
	for name, value := range s.Headers {
		if err := ask.CheckHeader(name, value); err != nil {
			return key{}, fmt.Errorf("headers: %s %w", name, err)
		}
	}
	text, err := json.Marshal(struct { // the keys of maps are sorted
		Module, Name string
		Spec         *Spec
	}{module, name, s})
	return sha256.Sum256(text), err
}

// methods returns the methods of requests.
func methods() []string { return []string{http.MethodPost, http.MethodPut, http.MethodGet} }
