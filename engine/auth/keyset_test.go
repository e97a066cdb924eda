package auth_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/auth"
)

// publisher is an HTTP transport that serves key sets and counts the requests.
type publisher struct {
	answer func(r *http.Request) (*http.Response, error)
	asked  atomic.Int32
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked.Add(1)
	return p.answer(r)
}

func publish(body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hangs blocks until the request is canceled, and returns its error.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func jwk(name, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: pairs()[name].Public(), KeyID: id}
}

func setOf(keys ...jose.JSONWebKey) string {
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	return string(b)
}

const address = "https://user:hunter2@id.example/keys?secret=hunter2"

// club is a tenant and a publisher of its keys, in a bubble of synctest.
type club struct {
	*testing.T
	*publisher
	sets   *auth.KeySets
	tokens *auth.Tokens
	log    *bytes.Buffer
}

func inClub(t *testing.T, answer func(*http.Request) (*http.Response, error), test func(c *club)) {
	t.Helper()
	pairs() // slow in real time, but takes no time in the bubble
	synctest.Test(t, func(t *testing.T) {
		c := &club{T: t, publisher: &publisher{answer: answer}, log: &bytes.Buffer{}}
		c.sets = auth.NewKeySets(c.publisher, slog.New(slog.NewTextHandler(c.log, nil)))
		c.tokens = newTokens(t, auth.Config{KeySet: c.sets.At(auth.Source{Address: address})})
		ctx, end := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() { c.sets.Run(ctx) })
		test(c)
		end()
		run.Wait()
		if strings.Contains(c.log.String(), "hunter2") {
			t.Errorf("the log has a secret:\n%s", c.log)
		}
	})
}

func (c *club) signed(name, id string) string {
	c.Helper()
	h := header{}
	if id != "" {
		h["kid"] = id
	}
	return sign(c.T, map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "other": jose.RS256, "p256": jose.ES256, "second": jose.ES256}[name], pairs()[name], h, claims{"sub": "ann"})
}

func (c *club) wasAsked(want int32) {
	c.Helper()
	synctest.Wait()
	if got := c.asked.Load(); got != want {
		c.Errorf("the set was fetched %d times, want %d", got, want)
	}
}

func TestKeysRotate(t *testing.T) {
	inClub(t, publish(setOf(jwk("rsa", "1"))), func(c *club) {
		takes(t, c.tokens, c.signed("rsa", "1"))
		takes(t, c.tokens, c.signed("rsa", "1"))
		takes(t, c.tokens, c.signed("rsa", ""))
		c.wasAsked(1)
		refuses(t, c.tokens, c.signed("other", "1"), "token has an invalid signature")
		c.wasAsked(1)

		c.answer = publish(setOf(jwk("rsa", "1"), jwk("p256", "2")))
		time.Sleep(10 * time.Second)
		takes(t, c.tokens, c.signed("p256", "2")) // causes a fetch
		takes(t, c.tokens, c.signed("rsa", "1"))
		c.wasAsked(2)

		c.answer = publish(setOf(jwk("p256", "2")))
		time.Sleep(6 * time.Minute)
		takes(t, c.tokens, c.signed("rsa", "1")) // no lookup waits while the set is not old
		c.wasAsked(3)
		time.Sleep(10 * time.Second)
		refuses(t, c.tokens, c.signed("rsa", "1"), "token is signed with an unknown key")

		c.answer = publish(setOf(jwk("second", "3")))
		time.Sleep(time.Hour)
		refuses(t, c.tokens, c.signed("p256", "2"), "token is signed with an unknown key") // an old set is fetched first
	})
}

// TestUnknownKeyIDsCauseFewFetches checks that tokens with many unknown key ids cause
// few fetches.
func TestUnknownKeyIDsCauseFewFetches(t *testing.T) {
	inClub(t, publish(setOf(jwk("rsa", "1"))), func(c *club) {
		for i := range 1000 {
			refuses(t, c.tokens, forge(fmt.Sprintf(`{"alg":"RS256","kid":"%d"}`, i+2), `{}`, "x"), "token is signed with an unknown key")
			time.Sleep(20 * time.Millisecond)
		}
		c.wasAsked(2)
		refuses(t, c.tokens, c.signed("p256", "1"), "token is signed with an algorithm that is not accepted")
		takes(t, c.tokens, c.signed("rsa", "1"))
	})
}

func TestLastGoodSetIsUsedWhileFetchesFail(t *testing.T) {
	inClub(t, publish(setOf(jwk("rsa", "1"))), func(c *club) {
		takes(t, c.tokens, c.signed("rsa", "1"))
		for name, answer := range map[string]func(*http.Request) (*http.Response, error){
			"down": down, "hangs": hangs, "no JSON": publish("<html>"), "no keys": publish(`{"keys":[]}`), "large": publish(`{"keys":[]}` + strings.Repeat(" ", 1<<20)),
			"an error": func(r *http.Request) (*http.Response, error) {
				return &http.Response{Status: "503 busy", StatusCode: 503, Body: http.NoBody, Request: r}, nil
			},
		} {
			c.answer = answer
			time.Sleep(24 * time.Hour)
			if id, err := c.tokens.Check(c.Context(), c.signed("rsa", "1")); err != nil || id.User != "ann" {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.sets.Use(c.Context(), []auth.Source{{Address: address}}) // like a reload while the set is unreachable
		takes(t, newTokens(t, auth.Config{KeySet: c.sets.At(auth.Source{Address: address})}), c.signed("rsa", "1"))
		if got := strings.Count(c.log.String(), `msg="cannot fetch key set; the last good one stays in use" keySet=https://id.example/keys`); got != 1 {
			t.Errorf("%d warnings:\n%s", got, c.log)
		}
		c.answer = publish(setOf(jwk("p256", "2")))
		time.Sleep(time.Hour)
		takes(t, c.tokens, c.signed("p256", "2"))
		if !strings.Contains(c.log.String(), `msg="key set is available again"`) {
			t.Errorf("the log:\n%s", c.log)
		}
	})
}

func TestTokensAreUncheckedWithoutASet(t *testing.T) {
	inClub(t, down, func(c *club) {
		begun := time.Now()
		_, err := c.tokens.Check(c.Context(), c.signed("rsa", "1"))
		if !errors.Is(err, engine.ErrUnchecked) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
		c.answer = hangs
		time.Sleep(10 * time.Second)
		if _, err = c.tokens.Check(c.Context(), c.signed("rsa", "1")); !errors.Is(err, engine.ErrUnchecked) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != 15*time.Second {
			t.Errorf("a fetch was given up after %v", took-10*time.Second)
		}
	})
}

// TestSlowKeyServerDelaysOnlyItsTenants checks that a slow key server delays only
// tokens that need its keys.
func TestSlowKeyServerDelaysOnlyItsTenants(t *testing.T) {
	slow := func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "id.example" {
			return hangs(r)
		}
		return publish(setOf(jwk("p256", "2")))(r)
	}
	inClub(t, slow, func(c *club) {
		stuck := make(chan error)
		go func() { _, err := c.tokens.Check(c.Context(), c.signed("rsa", "1")); stuck <- err }()
		synctest.Wait()
		other := newTokens(t, auth.Config{KeySet: c.sets.At(auth.Source{Address: "https://other.example/keys"})})
		begun := time.Now()
		takes(t, other, c.signed("p256", "2"))
		if took := time.Since(begun); took != 0 {
			t.Errorf("the other tenant waited %v", took)
		}
		if err := <-stuck; !errors.Is(err, engine.ErrUnchecked) {
			t.Error(err)
		}

		// A token with a known key does not wait while a set that is not old is fetched.
		c.answer = publish(setOf(jwk("rsa", "1")))
		time.Sleep(10 * time.Second)
		takes(t, c.tokens, c.signed("rsa", "1"))
		c.answer = hangs
		time.Sleep(6 * time.Minute)
		begun = time.Now()
		takes(t, c.tokens, c.signed("rsa", "1"))
		if took := time.Since(begun); took != 0 {
			t.Errorf("a token whose key is known waited %v", took)
		}
	})
}

func TestKeysOfASet(t *testing.T) {
	with := func(k jose.JSONWebKey, change func(*jose.JSONWebKey)) jose.JSONWebKey { change(&k); return k }
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 100_000), E: 65537}
	broken := `{"keys":[5,{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"unheard-of"},{},` + strings.TrimPrefix(setOf(jwk("rsa", "1")), `{"keys":[`)
	many := make([]jose.JSONWebKey, 101)
	for i := range many {
		many[i] = jwk("rsa", "1")
	}
	for name, test := range map[string]struct {
		set   string
		taken bool
	}{
		"a key":                          {setOf(jwk("rsa", "1")), true},
		"a key without an id":            {setOf(jwk("rsa", "")), true},
		"the second of an id":            {setOf(jwk("other", "1"), jwk("rsa", "1")), true},
		"one for the algorithm":          {setOf(with(jwk("rsa", "1"), func(k *jose.JSONWebKey) { k.Algorithm = "RS256" })), true},
		"one for another algorithm":      {setOf(with(jwk("rsa", "1"), func(k *jose.JSONWebKey) { k.Algorithm = "RS512" })), false},
		"one for an impossible one":      {setOf(with(jwk("rsa", "1"), func(k *jose.JSONWebKey) { k.Algorithm = "HS256" })), false},
		"one for encryption":             {setOf(with(jwk("rsa", "1"), func(k *jose.JSONWebKey) { k.Use = "enc" })), false},
		"a private one":                  {setOf(jose.JSONWebKey{Key: pairs()["rsa"], KeyID: "1"}), false},
		"among broken ones":              {broken, true},
		"a huge one":                     {setOf(jose.JSONWebKey{Key: huge, KeyID: "1"}), false},
		"a small one":                    {setOf(jose.JSONWebKey{Key: rsaOf("small"), KeyID: "1"}), false},
		"too many":                       {setOf(many...), false},
		"a secret for all the world":     {setOf(jose.JSONWebKey{Key: secret, KeyID: "1"}), false},
		"another id":                     {setOf(jwk("rsa", "2")), false},
		"after more than can be tried":   {setOf(append(many[:0:0], repeat(jwk("other", "1"), 8, jwk("rsa", "1"))...)...), false},
		"the last of those can be tried": {setOf(repeat(jwk("other", "1"), 7, jwk("rsa", "1"))...), true},
	} {
		t.Run(name, func(t *testing.T) {
			inClub(t, publish(test.set), func(c *club) {
				if _, err := c.tokens.Check(c.Context(), c.signed("rsa", "1")); (err == nil) != test.taken {
					t.Errorf("got %v", err)
				}
				if _, err := c.tokens.Check(c.Context(), sign(t, jose.HS256, secret, header{"kid": "1"}, claims{})); err == nil {
					t.Error("a secret is taken from a published set")
				}
			})
		})
	}
}

func repeat(k jose.JSONWebKey, n int, last jose.JSONWebKey) (keys []jose.JSONWebKey) {
	for range n {
		keys = append(keys, k)
	}
	return append(keys, last)
}

// endless is a body that never ends.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) { e.read.Add(int64(len(p))); return len(p), nil }
func (e *endless) Close() error               { return nil }

func TestEndlessBodyIsCutOff(t *testing.T) {
	body := &endless{}
	inClub(t, func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
	}, func(c *club) {
		if _, err := c.tokens.Check(c.Context(), c.signed("rsa", "1")); !errors.Is(err, engine.ErrUnchecked) {
			t.Errorf("got %v", err)
		}
	})
	if n := body.read.Load(); n > 1<<20 {
		t.Errorf("%d bytes of it were read", n)
	}
}

func TestRedirects(t *testing.T) {
	to := func(location string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "good.example" {
				return publish(setOf(jwk("rsa", "1")))(r)
			}
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {location}}, Body: http.NoBody, Request: r}, nil
		}
	}
	for location, taken := range map[string]bool{"https://good.example/": true, "http://good.example/": false, "https://again.example/": false, "file:///etc/passwd": false} {
		inClub(t, to(location), func(c *club) {
			if _, err := c.tokens.Check(c.Context(), c.signed("rsa", "1")); (err == nil) != taken {
				t.Errorf("%s: %v", location, err)
			}
			if n := c.asked.Load(); n > 4 {
				t.Errorf("%s: asked %d times", location, n)
			}
		})
	}
}

func TestKeySetInAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sets := auth.NewKeySets(nil, nil)
	if err := sets.CheckFile(t.Context(), auth.Source{Address: path}); err == nil {
		t.Error("a file that is not there is good")
	}
	write("{}")
	if err := sets.CheckFile(t.Context(), auth.Source{Address: path}); err == nil || err.Error() != "the set has no public key for signatures" {
		t.Errorf("got %v", err)
	}
	write(setOf(jwk("rsa", "1")))
	if err := sets.CheckFile(t.Context(), auth.Source{Address: path}); err != nil {
		t.Error(err)
	}
	inClub(t, down, func(c *club) {
		c.sets.Use(c.Context(), []auth.Source{{Address: path}})
		tokens := newTokens(t, auth.Config{KeySet: c.sets.At(auth.Source{Address: path})})
		takes(t, tokens, c.signed("rsa", "1"))
		write(setOf(jwk("p256", "2")))
		time.Sleep(10 * time.Second)
		takes(t, tokens, c.signed("p256", "2"))
		c.wasAsked(0)
	})
}
