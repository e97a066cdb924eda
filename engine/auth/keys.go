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

// key is a key and the algorithms that it takes.
type key struct {
	id         string // "": it has none
	value      any
	algorithms []jose.SignatureAlgorithm
}

var (
	hmacs      = []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
	rsas       = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	algorithms = slices.Concat(hmacs, rsas, []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.EdDSA})
)

// malformed says what is wrong with a token that could not be parsed.
func malformed(err error) error {
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return errAlgorithm
	}
	return errMalformed
}

// keyring is keys that do not change.
type keyring []key

// find is keys's.
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

// matching are the keys that may have been meant: a key or a token without an id
// fits any. algorithm may be "" for any.
func (r keyring) matching(id, algorithm string) (found []key) {
	for _, k := range r {
		if (id == "" || k.id == "" || k.id == id) &&
			(algorithm == "" || slices.Contains(k.algorithms, jose.SignatureAlgorithm(algorithm))) {
			found = append(found, k)
		}
	}
	return found
}

// shortest is the length of the shortest secret, in bytes: less can be guessed
// (RFC 7518, section 3.2). HS384 and HS512 take longer ones only.
const shortest = 32

func secretKey(secret []byte) (keyring, error) {
	if len(secret) < shortest {
		return nil, fmt.Errorf("the secret has %d bytes, want at least %d: make one with openssl rand -base64 33", len(secret), shortest)
	}
	return keyring{{value: secret, algorithms: hmacs}}, nil
}

func publicKeys(text []byte) (ring keyring, err error) {
	for block, rest := pem.Decode(text); ; block, rest = pem.Decode(rest) {
		switch {
		case block == nil && len(ring) == 0:
			return nil, errors.New("the public key is not in PEM (-----BEGIN PUBLIC KEY-----)")
		case block == nil:
			return ring, nil
		case len(ring) == mostTries:
			return nil, fmt.Errorf("more than %d public keys", mostTries)
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
		return key{}, fmt.Errorf("is a %q, want a PUBLIC KEY", block.Type)
	}
	if err != nil {
		return key{}, err
	}
	return keyOf(value)
}

// Bounds of an RSA key, in bits. A huge one takes long to verify with.
const (
	smallestRSA = 2048
	largestRSA  = 8192
)

// keyOf finds the algorithms of a public key.
func keyOf(value any) (key, error) {
	switch k := value.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < smallestRSA || bits > largestRSA {
			return key{}, fmt.Errorf("the RSA key has %d bits, want %d to %d", bits, smallestRSA, largestRSA)
		}
		return key{value: k, algorithms: rsas}, nil
	case *ecdsa.PublicKey:
		algorithm := map[elliptic.Curve]jose.SignatureAlgorithm{
			elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[k.Curve]
		if algorithm == "" {
			return key{}, errors.New("the key is on an unknown curve, want P-256, P-384 or P-521")
		}
		return key{value: k, algorithms: []jose.SignatureAlgorithm{algorithm}}, nil
	case ed25519.PublicKey:
		return key{value: k, algorithms: []jose.SignatureAlgorithm{jose.EdDSA}}, nil
	}
	return key{}, fmt.Errorf("a key of type %T, want RSA, ECDSA or Ed25519", value)
}

// mostKeys bounds a key set.
const mostKeys = 100

// parseSet reads a key set. What is not a public key for signatures is passed
// over, as RFC 7517 has it; a set without any such key is an error.
func parseSet(text []byte) (ring keyring, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("it is not a JSON Web Key Set")
	}
	if len(set.Keys) > mostKeys {
		return nil, fmt.Errorf("it has %d keys, want at most %d", len(set.Keys), mostKeys)
	}
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || jwk.Use != "" && jwk.Use != "sig" {
			continue
		}
		k, err := keyOf(jwk.Key) // a secret or a private key is none to be published
		if err != nil || !k.restrict(jwk.Algorithm) {
			continue
		}
		k.id = jwk.KeyID
		ring = append(ring, k)
	}
	if len(ring) == 0 {
		return nil, errors.New("it has no public key for signatures")
	}
	return ring, nil
}

// restrict leaves the one algorithm that a key says it is for, and reports whether
// it can be; "" leaves all.
func (k *key) restrict(algorithm string) bool {
	if algorithm == "" {
		return true
	}
	one := jose.SignatureAlgorithm(algorithm)
	ok := slices.Contains(k.algorithms, one)
	k.algorithms = []jose.SignatureAlgorithm{one}
	return ok
}
