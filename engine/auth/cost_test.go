package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4/jwt"
)

// odd returns an odd number with that number of bits.
func odd(bits int) *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

// TestARSAKeyHasACommonExponent checks that a key whose verification takes several times longer is refused.
func TestARSAKeyHasACommonExponent(t *testing.T) {
	for e, want := range map[int]string{3: "", 65537: "", 65539: "has the public exponent 65539: use 65537", 1<<31 - 1: "has the public exponent 2147483647"} {
		_, err := keyOf(&rsa.PublicKey{N: odd(2048), E: e})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %q", e, err, want)
		}
	}
}

// TestATokenCostsABoundedTime checks the maximum cost of verifying a forged token, for any keys of the tenant, and that all keys of
// common sizes are tried.
func TestATokenCostsABoundedTime(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value any
		tries int
	}{
		"2048": {&rsa.PublicKey{N: odd(2048), E: 65537}, 8},
		"3072": {&rsa.PublicKey{N: odd(3072), E: 65537}, 8},
		"4096": {&rsa.PublicKey{N: odd(4096), E: 65537}, 8},
		"8192": {&rsa.PublicKey{N: odd(8192), E: 65537}, 2},
		"P521": {&curve.PublicKey, 4},
	} {
		k, err := keyOf(c.value)
		if err != nil {
			t.Fatal(err)
		}
		ring := make(keyring, 100)
		for i := range ring {
			ring[i] = k
		}
		if got := len(affordable(ring)); got != c.tries {
			t.Errorf("%s: %d keys are tried, want %d", name, got, c.tries)
		}
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + string(k.algorithms[0]) + `"}`))
		token, err := jwt.ParseSigned(header+".e30."+base64.RawURLEncoding.EncodeToString(make([]byte, 132)), algorithms)
		if err != nil {
			t.Fatal(err)
		}
		if err := (&Tokens{keys: ring}).verify(context.Background(), token); !errors.Is(err, errSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
