package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// key is a key and the algorithms that it accepts.
type key struct {
	id         string // "" if it has none
	value      any
	algorithms []jose.SignatureAlgorithm
}

var (
	hmacs      = []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	rsas       = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	algorithms = slices.Concat(hmacs, rsas, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.EdDSA})
)

// malformed returns the error for a token that cannot be parsed.
func malformed(err error) error {
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return errAlgorithm
	}
	return errMalformed
}

// keyring is an immutable list of keys.
type keyring []key

// find implements keys.
func (r keyring) find(_ context.Context, id, algorithm string) ([]key, error) {
	found := r.matching(id, algorithm)
	switch {
	case len(found) > 0:
		return found, nil
	case len(r.matching(id, "")) > 0:
		return nil, errAlgorithm
	}
	return nil, errKey
}

// matching returns the keys with this id and algorithm. A key or a token without an id
// matches any; algorithm "" is any.
func (r keyring) matching(id, algorithm string) (found []key) {
	for _, k := range r {
		if (id == "" || k.id == "" || k.id == id) &&
			(algorithm == "" || slices.Contains(k.algorithms, jose.SignatureAlgorithm(algorithm))) {
			found = append(found, k)
		}
	}
	return found
}

// minSecret is the minimum length of a secret, in bytes (RFC 7518, section 3.2). HS384
// and HS512 need longer ones.
const minSecret = 32

func secretKey(secret []byte) (keyring, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes: use at least %d, for example from `openssl rand -base64 33`", len(secret), minSecret)
	}
	return keyring{{value: secret, algorithms: hmacs}}, nil
}

func publicKeys(text []byte) (ring keyring, err error) {
	for block, rest := pem.Decode(text); ; block, rest = pem.Decode(rest) {
		switch {
		case block == nil && len(ring) == 0:
			return nil, errors.New("the public key is not in PEM: it must begin with -----BEGIN PUBLIC KEY-----")
		case block == nil:
			return ring, nil
		case len(ring) == maxTries:
			return nil, fmt.Errorf("more than %d public keys: remove old ones", maxTries)
		}
		k, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", len(ring)+1, err)
		}
		ring = append(ring, k)
	}
}

func publicKey(block *pem.Block) (key, error) {
	var value any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		value, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		value, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			value = certificate.PublicKey
		}
	default:
		return key{}, fmt.Errorf("is of the type %q: use a PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
	}
	if err != nil {
		return key{}, err
	}
	return keyOf(value)
}

// Limits of an RSA key. Verification with a larger key takes too long.
const (
	minRSA      = 2048 // bits
	maxRSA      = 8192
	maxExponent = 65537
)

// cost returns the approximate processor time of one verification; 1 is that with an RSA key of 2048 bits.
func (k key) cost() int {
	switch v := k.value.(type) {
	case *rsa.PublicKey:
		n := (v.N.BitLen() + minRSA - 1) / minRSA
		return n * n
	case *ecdsa.PublicKey:
		if v.Curve != elliptic.P256() {
			return 8
		}
	}
	return 1
}

// keyOf returns a public key with its algorithms.
func keyOf(value any) (key, error) {
	switch k := value.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return key{}, fmt.Errorf("the RSA key has %d bits: use %d to %d", bits, minRSA, maxRSA)
		}
		if k.E > maxExponent {
			return key{}, fmt.Errorf("the RSA key has the public exponent %d: use %d", k.E, maxExponent)
		}
		return key{value: k, algorithms: rsas}, nil
	case *ecdsa.PublicKey:
		algorithm := map[elliptic.Curve]jose.SignatureAlgorithm{
			elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[k.Curve]
		if algorithm == "" {
			return key{}, errors.New("the key has an unsupported curve: use P-256, P-384 or P-521")
		}
		return key{value: k, algorithms: []jose.SignatureAlgorithm{algorithm}}, nil
	case ed25519.PublicKey:
		return key{value: k, algorithms: []jose.SignatureAlgorithm{jose.EdDSA}}, nil
	}
	return key{}, fmt.Errorf("the key has the type %T: use RSA, ECDSA or Ed25519", value)
}

// maxKeys limits the keys of a key set.
const maxKeys = 100

// parseSet parses a key set. It ignores entries that are not public keys for signatures,
// as RFC 7517 requires; a set without such a key is an error.
func parseSet(text []byte) (ring keyring, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("the content is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the set has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || jwk.Use != "" && jwk.Use != "sig" {
			continue
		}
		k, err := keyOf(jwk.Key) // fails for secrets and private keys, which must not be published
		if err != nil || !k.restrict(jwk.Algorithm) {
			continue
		}
		k.id = jwk.KeyID
		ring = append(ring, k)
	}
	if len(ring) == 0 {
		return nil, errors.New("the set has no public key for signatures")
	}
	return ring, nil
}

// restrict limits the key to one algorithm and reports whether the key supports it. The
// algorithm "" sets no limit.
func (k *key) restrict(algorithm string) bool {
	if algorithm == "" {
		return true
	}
	one := jose.SignatureAlgorithm(algorithm)
	ok := slices.Contains(k.algorithms, one)
	k.algorithms = []jose.SignatureAlgorithm{one}
	return ok
}
