package api

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// shared computes a value for unauthenticated requests at a cost that does not grow with the
// number of requests. One computation runs at a time, and all requests that arrived before its
// start share its value. A pause of nine times its duration, at most maxPause, follows. A value is
// never older than its request. The methods of shared may be called concurrently.
type shared[T any] struct {
	compute  func(ctx context.Context) T // ctx does not end
	maxPause time.Duration

	turn  chan struct{} // held by the caller that waits for the pause, computes or reads the value
	begun atomic.Uint64 // computations
	value T             // of the last one
	free  time.Time     // the end of the pause
}

func newShared[T any](maxPause time.Duration, compute func(context.Context) T) *shared[T] {
	return &shared[T]{compute: compute, maxPause: maxPause, turn: make(chan struct{}, 1)}
}

// get returns a value whose computation began after the call of get. The error is the error of ctx.
func (s *shared[T]) get(ctx context.Context) (value T, err error) {
	before := s.begun.Load()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return value, ctx.Err()
	}
	if s.begun.Load() > before {
		return s.value, nil
	}
	pause := time.NewTimer(time.Until(s.free))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return value, ctx.Err()
	}
	s.begun.Add(1)
	start := time.Now()
	s.value = s.compute(context.WithoutCancel(ctx))
	s.free = time.Now().Add(min(9*time.Since(start), s.maxPause))
	return s.value, nil
}

// response is a recorded HTTP response.
type response struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *response) WriteHeader(code int) { r.code = code }

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }

// shareResponses returns a handler with two shared responses of h: one for requests that
// accept gzip, and one for all other requests.
func shareResponses(maxPause time.Duration, h http.Handler) http.Handler {
	kind := func(encoding string) *shared[*response] {
		return newShared(maxPause, func(ctx context.Context) *response {
			r := &response{header: http.Header{}, code: http.StatusOK}
			q := (&http.Request{Method: http.MethodGet, URL: &url.URL{}, Header: http.Header{"Accept-Encoding": {encoding}}}).WithContext(ctx)
			h.ServeHTTP(r, q)
			return r
		})
	}
	plain, zipped := kind("identity"), kind("gzip")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			from = zipped
		}
		got, err := from.get(r.Context())
		if err != nil {
			return // the client has gone
		}
		for name, values := range got.header {
			w.Header()[name] = values
		}
		w.WriteHeader(got.code)
		_, _ = w.Write(got.body.Bytes()) // the client may have gone
	})
}
