// Package auth checks JSON Web Tokens (RFC 7519): it has the methods of
// engine.Tokens.
//
// The keys of a tenant are a secret, public keys in PEM, or a [KeySet] (RFC 7517).
// What algorithm a token may be signed with is fixed by the kind of key, not by
// the token: a secret takes HS256, HS384 and HS512; an RSA key RS* and PS*; a key
// on the curve P-256 ES256, on P-384 ES384, on P-521 ES512; an Ed25519 key EdDSA.
// What a token brings of keys itself, or of addresses of keys, is never looked at.
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

// Config is how the tokens of one tenant are checked.
type Config struct {
	// The keys: exactly one of these.
	Secret    []byte  // at least 32 bytes
	PublicKey []byte  // one to eight, in PEM: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE
	KeySet    *KeySet // it may be that of other tenants too

	Audience   []string // one of these must be the token's; none: any will do
	Issuer     string   // "": any will do
	Properties []string // claims that become properties; a token need not have them
}

// Tokens are those of one tenant. It does not change, and its methods may be
// called concurrently.
type Tokens struct {
	keys       keys
	expected   jwt.Expected
	properties []string
}

// keys are where a token's key is to be found among.
type keys interface {
	// find gives the keys that may have signed a token with that key id, "" if
	// it names none, and algorithm.
	find(ctx context.Context, id, algorithm string) ([]key, error)
}

// New fails where the keys are not what they should be, in words for the operator
// that never have a key in them.
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
		err = errors.New("tokens need a secret, public keys or a key set, one of them")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// What is wrong with a token, in words for its client: nothing of the token is in
// them.
var (
	errLong      = fmt.Errorf("token is too long (at most %d bytes)", longest)
	errMalformed = errors.New("token is malformed")
	errAlgorithm = errors.New("token is signed with an algorithm that is not taken here")
	errKey       = errors.New("token is signed with a key that is not known here")
	errSignature = errors.New("token has a bad signature")
	errExpired   = errors.New("token expired")
	errEarly     = errors.New("token is not valid yet")
	errAudience  = errors.New("token is for another audience")
	errIssuer    = errors.New("token is of another issuer")
	errUser      = errors.New("token names a user that cannot be")
)

const (
	longest     = 8 << 10         // token, in bytes
	longestUser = 256             // in bytes
	leeway      = 5 * time.Second // by which the issuer's clock and ours may differ
)

// Check is engine.Tokens's.
func (t *Tokens) Check(ctx context.Context, token string) (engine.Identity, error) {
	if len(token) > longest {
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

// mostTries bounds the keys that one token is tried with: each costs.
const mostTries = 8

func (t *Tokens) verify(ctx context.Context, token *jwt.JSONWebToken) error {
	header := token.Headers[0] // in the compact form there is one
	candidates, err := t.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return err
	}
	for _, k := range candidates[:min(len(candidates), mostTries)] {
		if token.Claims(k.value) == nil {
			return nil
		}
	}
	return errSignature
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
	if len(c.Subject) > longestUser || !utf8.ValidString(c.Subject) || strings.ContainsFunc(c.Subject, unicode.IsControl) {
		return errUser
	}
	return nil
}

// propertiesIn are the claims that are to become properties, compact.
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
