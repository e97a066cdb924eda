// Package auth verifies JSON Web Tokens (RFC 7519). Its type Tokens implements
// engine.Tokens.
//
// The keys of a tenant are a secret, public keys in PEM, or a [KeySet] (RFC 7517). The
// kind of key, not the token, decides which algorithms are accepted. A secret accepts
// HS256, HS384 and HS512; an RSA key RS* and PS*; a key on the curve P-256 ES256, on
// P-384 ES384, on P-521 ES512; an Ed25519 key EdDSA. Keys and addresses of keys in a
// token are ignored.
package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
)

// Config configures the tokens of one tenant.
type Config struct {
	// Exactly one of these keys must be set.
	Secret    []byte  // at least 32 bytes
	PublicKey []byte  // one to eight in PEM: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE
	KeySet    *KeySet // tenants may share it

	Audience   []string // the token's audience must be one of these; empty: any
	Issuer     string   // the token's issuer; "": any
	Properties []string // claims that become properties, if the token has them
}

// Tokens verifies the tokens of one tenant. It is immutable and safe for concurrent use.
type Tokens struct {
	keys       keys
	expected   jwt.Expected
	properties []string
}

// keys are the keys of a tenant.
type keys interface {
	// find returns the keys that may have signed a token with this key id and algorithm;
	// id is "" if the token names none.
	find(ctx context.Context, id, algorithm string) ([]key, error)
}

// New returns the Tokens of a tenant. It fails if the keys are not valid; the error is for
// the operator and contains no key.
func New(c Config) (*Tokens, error) {
	t := &Tokens{expected: jwt.Expected{Issuer: c.Issuer, AnyAudience: c.Audience}, properties: c.Properties}
	var err error
	switch {
	case len(c.Secret) > 0 && len(c.PublicKey) == 0 && c.KeySet == nil:
		t.keys, err = secretKey(c.Secret)
	case len(c.PublicKey) > 0 && len(c.Secret) == 0 && c.KeySet == nil:
		t.keys, err = publicKeys(c.PublicKey)
	case c.KeySet != nil && len(c.Secret) == 0 && len(c.PublicKey) == 0:
		t.keys = c.KeySet
	default:
		err = errors.New("set exactly one of secret, publicKey and jwks")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Errors for clients. They contain no part of the token.
var (
	errLong      = fmt.Errorf("token is too long (at most %d bytes)", maxToken)
	errMalformed = errors.New("token is malformed")
	errAlgorithm = errors.New("token is signed with an algorithm that is not accepted")
	errKey       = errors.New("token is signed with an unknown key")
	errSignature = errors.New("token has an invalid signature")
	errExpired   = errors.New("token expired")
	errEarly     = errors.New("token is not valid yet")
	errAudience  = errors.New("token is for another audience")
	errIssuer    = errors.New("token is from another issuer")
	errUser      = errors.New("token has an invalid user name")
)

const (
	maxToken = 8 << 10         // bytes
	maxUser  = 256             // bytes
	leeway   = 5 * time.Second // maximum difference of the issuer's clock
)

// Check implements engine.Tokens: it verifies a token and returns the identity in it. The
// error is for the client; it wraps engine.ErrUnchecked if the keys are not available.
func (t *Tokens) Check(ctx context.Context, token string) (engine.Identity, error) {
	if len(token) > maxToken {
		return engine.Identity{}, errLong
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return engine.Identity{}, malformed(err)
	}
	if err := t.verify(ctx, parsed); err != nil {
		return engine.Identity{}, err
	}
	var claims jwt.Claims
	var all map[string]json.RawMessage
	if err := parsed.UnsafeClaimsWithoutVerification(&claims, &all); err != nil { // verified above
		return engine.Identity{}, errMalformed
	}
	if err := t.valid(claims); err != nil {
		return engine.Identity{}, err
	}
	id := engine.Identity{User: claims.Subject, Expires: claims.Expiry.Time()}
	id.Claims, err = t.propertiesIn(all)
	return id, err
}

// Limits of the keys that are tried for one token. Each try costs processor time, and a forged token has
// all of them tried.
const (
	maxTries = 8
	maxCost  = 32 // see key.cost; one key is always tried
)

func (t *Tokens) verify(ctx context.Context, token *jwt.JSONWebToken) error {
	header := token.Headers[0] // the compact form has exactly one
	candidates, err := t.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return err
	}
	for _, k := range affordable(candidates) {
		if token.Claims(k.value) == nil {
			return nil
		}
	}
	return errSignature
}

// affordable returns the first keys that may be tried for one token.
func affordable(keys []key) []key {
	cost := 0
	for i, k := range keys {
		if cost += k.cost(); i == maxTries || i > 0 && cost > maxCost {
			return keys[:i]
		}
	}
	return keys
}

func (t *Tokens) valid(c jwt.Claims) error {
	switch err := c.ValidateWithLeeway(t.expected, leeway); {
	case err == nil:
	case errors.Is(err, jwt.ErrExpired):
		return errExpired
	case errors.Is(err, jwt.ErrInvalidAudience):
		return errAudience
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return errIssuer
	default:
		return errEarly
	}
	if len(c.Subject) > maxUser || !utf8.ValidString(c.Subject) || strings.ContainsFunc(c.Subject, unicode.IsControl) {
		return errUser
	}
	return nil
}

// propertiesIn returns the claims that become properties, as compact JSON.
func (t *Tokens) propertiesIn(claims map[string]json.RawMessage) (found []hook.Property, err error) {
	for _, name := range t.properties {
		value, ok := claims[name]
		if !ok || string(value) == "null" {
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil || !utf8.Valid(value) {
			return nil, errMalformed
		}
		found = append(found, hook.Property{Name: name, Value: compact.Bytes()})
	}
	return found, nil
}
