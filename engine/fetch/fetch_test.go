package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// elsewhere is an HTTPS server, whom config trusts, and that counts what it is asked.
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
	return s, fetch.Config{Dir: filepath.Join(t.TempDir(), "kept"), Roots: roots}, asked
}

func serving(content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
}

// gives fails the test unless content came; fails, unless an error with all words did.
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

func TestWhatWasFetchedIsKept(t *testing.T) {
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

func TestWhatIsKeptAndDamagedIsFetchedAgain(t *testing.T) {
	content := []byte("a rule")
	s, config, asked := elsewhere(t, serving(content))
	var logs bytes.Buffer
	config.Log = slog.New(slog.NewTextHandler(&logs, nil))
	f := fetch.New(config)
	file := filepath.Join(config.Dir, "sha256-"+sum(content))
	for i, damage := range []string{"", "a rul", "b rule", "a rule and more"} {
		if i > 0 {
			if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		gives(t, content)(f.URL(t.Context(), s.URL, sum(content)))
		if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, content) {
			t.Errorf("%q is kept, %v", kept, err)
		}
	}
	if asked.Load() != 4 || strings.Count(logs.String(), "damaged") != 3 {
		t.Errorf("fetched %d times:\n%s", asked.Load(), &logs)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	const size = 1000
	s, config, asked := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte(r.URL.Path[1:]), size))
	}))
	config.Keep = 3 * size
	f := fetch.New(config)
	get := func(letter string) {
		t.Helper()
		content := bytes.Repeat([]byte(letter), size)
		gives(t, content)(f.URL(t.Context(), s.URL+"/"+letter, sum(content)))
		old := time.Now().Add(-time.Hour + time.Duration(asked.Load())*time.Minute)
		if err := os.Chtimes(filepath.Join(config.Dir, "sha256-"+sum(content)), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(config.Dir, "new-1")
	if err := os.WriteFile(half, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(half, long, long); err != nil {
		t.Fatal(err)
	}
	for _, letter := range strings.Fields("a b c a d e") {
		get(letter)
	}
	var kept string
	for _, letter := range strings.Fields("a b c d e") {
		if _, err := os.Stat(filepath.Join(config.Dir, "sha256-"+sum(bytes.Repeat([]byte(letter), size)))); err == nil {
			kept += letter
		}
	}
	if files, _ := os.ReadDir(config.Dir); len(files) != 3 || !strings.HasSuffix(kept, "de") {
		t.Errorf("%d files are kept, of %q", len(files), kept)
	}
}

func TestAFolderThatCannotBeUsedMakesNothingFail(t *testing.T) {
	content := []byte("a rule")
	s, config, asked := elsewhere(t, serving(content))
	config.Dir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(config.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	config.Log = slog.New(slog.NewTextHandler(&logs, nil))
	for range 2 {
		gives(t, content)(fetch.New(config).URL(t.Context(), s.URL, sum(content)))
	}
	if asked.Load() != 2 || !strings.Contains(logs.String(), "cannot be kept") {
		t.Errorf("fetched %d times:\n%s", asked.Load(), &logs)
	}
}

func TestWhatIsNotAsItShouldBeIsRefused(t *testing.T) {
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
	fails(t, "its sha256 must be given")(f.URL(ctx, s.URL+"/rule", ""))
	fails(t, "it leads to "+plain.URL+"/rule, which is not https")(f.URL(ctx, s.URL+"/plain", sum(content)))
	fails(t, "it leads on and on")(f.URL(ctx, s.URL+"/round", sum(content)))
	fails(t, s.URL+"/gone: the server answers 404 Not Found")(f.URL(ctx, s.URL+"/gone", sum(content)))
	fails(t, "more than 65536 bytes")(f.URL(ctx, s.URL+"/large", sum(content)))
	fails(t, "did not come whole")(f.URL(ctx, s.URL+"/cut", sum(content)))
	fails(t, "is not https")(f.URL(ctx, plain.URL, sum(content)))
	fails(t, "certificate")(fetch.New(fetch.Config{}).URL(ctx, s.URL+"/rule", sum(content)))
	if files, _ := os.ReadDir(config.Dir); len(files) != 0 {
		t.Errorf("%v is kept", files)
	}
	gives(t, content)(f.URL(ctx, s.URL+"/moved", sum(content)))
}

func TestNobodyWaitsForEver(t *testing.T) {
	s, config, _ := elsewhere(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	config.Time = 50 * time.Millisecond
	fails(t, s.URL+"/slow: it did not come within 50ms")(fetch.New(config).URL(t.Context(), s.URL+"/slow", sum(nil)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fails(t, "canceled")(fetch.New(config).URL(ctx, s.URL+"/slow", sum(nil)))
}
