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

// Signer makes tokens, for tests.
type Signer struct {
	key       any
	algorithm jose.SignatureAlgorithm
}

// SecretSigner signs with a secret, by HS256.
func SecretSigner(secret []byte) (*Signer, error) {
	if _, err := secretKey(secret); err != nil {
		return nil, err
	}
	return &Signer{secret, jose.HS256}, nil
}

// KeySigner signs with a private key in PEM (PRIVATE KEY, RSA PRIVATE KEY or EC
// PRIVATE KEY), by the first algorithm that its public key takes.
func KeySigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the private key is not in PEM (-----BEGIN PRIVATE KEY-----)")
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
		err = fmt.Errorf("is a %q, want a PRIVATE KEY", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the private key: %w", err)
	}
	pair, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the private key is of type %T, want RSA, ECDSA or Ed25519", private)
	}
	public, err := keyOf(pair.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{private, public.algorithms[0]}, nil
}

// Draft is a token to be made. Audience and Issuer may be none and "".
type Draft struct {
	User, Issuer string
	Audience     []string
	KeyID        string
	Expires      time.Time      // zero: never
	Claims       map[string]any // further ones
}

// Sign makes the token.
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
