package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/fetch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// elsewhere starts an HTTPS server that config trusts, and counts its requests.
func elsewhere(t *testing.T, h http.Handler) (s *httptest.Server, config fetch.Config, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, fetch.Config{Cache: kept{}, Roots: roots}, asked
}

func serving(content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
}

// gives fails the test unless the fetch returned content. fails, below, fails the test
// unless the fetch returned an error that contains all words.
func gives(t *testing.T, content []byte) func([]byte, error) {
	return func(got []byte, err error) {
		t.Helper()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %.40q, %v", got, err)
		}
	}
}

func fails(t *testing.T, words ...string) func([]byte, error) {
	return func(got []byte, err error) {
		t.Helper()
		if err == nil {
			t.Fatalf("got %.40q, want an error with %q", got, words)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
}

func TestFetchedFilesAreCached(t *testing.T) {
	content := []byte("a rule")
	s, config, asked := elsewhere(t, serving(content))
	for range 2 {
		gives(t, content)(fetch.New(config).URL(t.Context(), s.URL+"/rule.wasm", sum(content)))
	}
	if asked.Load() != 1 {
		t.Errorf("it was fetched %d times", asked.Load())
	}
	s.Close()
	gives(t, content)(fetch.New(config).URL(t.Context(), "https://127.0.0.1:1/elsewhere", sum(content)))
}

// kept is an in-memory cache.
type kept map[string][]byte

func (k kept) Get(name string) []byte          { return k[name] }
func (k kept) Put(name string, content []byte) { k[name] = content }

// TestDamagedCacheEntriesAreFetchedAgain checks that content from the cache is
// verified.
func TestDamagedCacheEntriesAreFetchedAgain(t *testing.T) {
	content := []byte("a rule")
	s, config, asked := elsewhere(t, serving(content))
	f, name := fetch.New(config), "fetched sha256:"+sum(content)
	for i, damage := range []string{"", "a rul", "b rule", "a rule and more"} {
		if i > 0 {
			config.Cache.Put(name, []byte(damage))
		}
		gives(t, content)(f.URL(t.Context(), s.URL, sum(content)))
		if kept := config.Cache.Get(name); !bytes.Equal(kept, content) {
			t.Errorf("%q is kept", kept)
		}
	}
	if asked.Load() != 4 {
		t.Errorf("fetched %d times", asked.Load())
	}
}

func TestInvalidDownloadsAreRefused(t *testing.T) {
	content := []byte("a rule")
	plain := httptest.NewServer(serving(content))
	defer plain.Close()
	s, config, _ := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			http.Redirect(w, r, plain.URL+"/rule?signature=secret", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/moved":
			http.Redirect(w, r, "/rule", http.StatusMovedPermanently)
		case "/gone":
			http.Error(w, "gone", http.StatusNotFound)
		case "/large":
			for range 100 {
				_, _ = w.Write(make([]byte, 1024))
			}
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(content)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			_, _ = w.Write(content)
		}
	}))
	config.Max = 64 << 10
	f, ctx := fetch.New(config), t.Context()
	fails(t, s.URL+"/rule has the sha256 "+sum(content)+", not "+sum(nil))(f.URL(ctx, s.URL+"/rule?signature=secret", sum(nil)))
	fails(t, "set its sha256")(f.URL(ctx, s.URL+"/rule", ""))
	fails(t, "redirected to "+plain.URL+"/rule, which is not https")(f.URL(ctx, s.URL+"/plain", sum(content)))
	fails(t, "more than 5 redirects")(f.URL(ctx, s.URL+"/round", sum(content)))
	fails(t, s.URL+"/gone: the server answered 404 Not Found")(f.URL(ctx, s.URL+"/gone", sum(content)))
	fails(t, "more than 65536 bytes")(f.URL(ctx, s.URL+"/large", sum(content)))
	fails(t, "the download was cut off")(f.URL(ctx, s.URL+"/cut", sum(content)))
	fails(t, "does not begin with https://")(f.URL(ctx, plain.URL, sum(content)))
	fails(t, "certificate")(fetch.New(fetch.Config{}).URL(ctx, s.URL+"/rule", sum(content)))
	if files := config.Cache.(kept); len(files) != 0 {
		t.Errorf("%v is kept", files)
	}
	gives(t, content)(f.URL(ctx, s.URL+"/moved", sum(content)))
}

func TestFetchHasATimeLimit(t *testing.T) {
	s, config, _ := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	config.Time = 50 * time.Millisecond
	fails(t, s.URL+"/slow: no complete answer within 50ms")(fetch.New(config).URL(t.Context(), s.URL+"/slow", sum(nil)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fails(t, "canceled")(fetch.New(config).URL(ctx, s.URL+"/slow", sum(nil)))
}
