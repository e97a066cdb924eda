package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Signer signs tokens, for `moot token` and tests.
type Signer struct {
	key       any
	algorithm jose.SignatureAlgorithm
}

// SecretSigner returns a Signer with a secret and HS256.
func SecretSigner(secret []byte) (*Signer, error) {
	if _, err := secretKey(secret); err != nil {
		return nil, err
	}
	return &Signer{secret, jose.HS256}, nil
}

// KeySigner returns a Signer with a private key in PEM (PRIVATE KEY, RSA PRIVATE KEY or EC
// PRIVATE KEY) and the first algorithm of its public key: RS256, ES* or EdDSA.
func KeySigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the private key is not in PEM: it must begin with -----BEGIN PRIVATE KEY-----")
	}
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("it is of the type %q: use a PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the private key: %w", err)
	}
	pair, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the private key has the type %T: use RSA, ECDSA or Ed25519", private)
	}
	public, err := keyOf(pair.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{private, public.algorithms[0]}, nil
}

// Draft is the content of a token. Zero fields are left out.
type Draft struct {
	User, Issuer string
	Audience     []string
	KeyID        string
	Expires      time.Time      // zero: never
	Claims       map[string]any // further claims
}

// Sign returns the signed token.
func (s *Signer) Sign(d Draft) (string, error) {
	options := &jose.SignerOptions{}
	options.WithType("JWT")
	if d.KeyID != "" {
		options.WithHeader("kid", d.KeyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, options)
	if err != nil {
		return "", err
	}
	claims := jwt.Claims{Subject: d.User, Issuer: d.Issuer, Audience: d.Audience,
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(d.Expires)}
	return jwt.Signed(signer).Claims(d.Claims).Claims(claims).Serialize()
}
