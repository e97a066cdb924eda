package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("a secret that is long enough for every one of the algorithms of HMAC")

// pairs returns the keys of all tests. It makes them once, because that takes long.
var pairs = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{
		"rsa":    must(rsa.GenerateKey(rand.Reader, 2048)),
		"other":  must(rsa.GenerateKey(rand.Reader, 2048)),
		"small":  must(rsa.GenerateKey(rand.Reader, 1024)),
		"p224":   must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)),
		"p256":   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"p384":   must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"p521":   must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"ed":     must(ed, err),
		"second": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	}
})

func publicPEM(names ...string) (text []byte) {
	for _, name := range names {
		der, err := x509.MarshalPKIXPublicKey(pairs()[name].Public())
		if err != nil {
			panic(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return text
}

func privatePEM(name string) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(pairs()[name])
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// claims are the claims of a token.
type claims map[string]any

// later returns a time from now as a claim.
func later(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// header holds further fields of a token's header.
type header map[string]any

// sign encodes and signs a token without checks, so that tests can make invalid tokens.
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, h header, c any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range h {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if raw, ok := c.(string); ok {
		payload = []byte(raw)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge encodes a token from its three parts, without a key.
func forge(head, payload, signature string) string {
	e := base64.RawURLEncoding.EncodeToString
	return strings.Join([]string{e([]byte(head)), e([]byte(payload)), e([]byte(signature))}, ".")
}

func newTokens(t *testing.T, c auth.Config) *auth.Tokens {
	t.Helper()
	tokens, err := auth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// refuses checks that a token is refused with this error.
func refuses(t *testing.T, tokens *auth.Tokens, token, want string) {
	t.Helper()
	id, err := tokens.Check(context.Background(), token)
	if err == nil || err.Error() != want || id.User != "" || len(id.Claims) != 0 {
		t.Errorf("got %+v, %v; want %s", id, err, want)
	}
	if err != nil && len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
		t.Errorf("the token is in its own error: %v", err)
	}
}

func takes(t *testing.T, tokens *auth.Tokens, token string) engine.Identity {
	t.Helper()
	id, err := tokens.Check(context.Background(), token)
	if err != nil {
		t.Errorf("refused: %v", err)
	}
	return id
}
