package node

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/listen"
)

// newTokens returns the token verification of a tenant; nil if the tenant has no keys. A key set at a URL is not
// fetched yet.
func newTokens(ctx context.Context, j config.JWT, sets *auth.KeySets) (engine.Tokens, error) {
	if !j.Keys() {
		return nil, nil
	}
	c := auth.Config{Secret: []byte(j.Secret.Reveal()), PublicKey: []byte(j.PublicKey),
		Audience: j.Audience, Issuer: j.Issuer, Properties: j.Properties}
	if from := keySetOf(j); from.Address != "" {
		if !auth.IsURL(from.Address) {
			if err := checkKeySet(ctx, sets, from); err != nil {
				return nil, fmt.Errorf("the key set %s: %w", j.JWKS, err)
			}
		}
		c.KeySet = sets.At(from)
	}
	tokens, err := auth.New(c)
	if err != nil {
		return nil, err
	}
	return tokens, nil
}

// sameSecrets reports whether the server API, all tenants and modules have the same secrets. The ID of a revision is not
// enough, because it has only a few bits of a secret.
func sameSecrets(a, b *config.Config) bool {
	return sameKeys(a.Admin, b.Admin) && maps.EqualFunc(a.Tenants, b.Tenants, func(a, b config.Tenant) bool {
		return a.Sum != [32]byte{} && a.Sum == b.Sum || a.Auth.JWT.Secret.Reveal() == b.Auth.JWT.Secret.Reveal() &&
			slices.EqualFunc(a.Chain, b.Chain, func(a, b config.Entry) bool { return bytes.Equal(a.Config, b.Config) })
	})
}

// sameKeys reports whether the keys of the server API have the same texts.
func sameKeys(a, b config.Admin) bool {
	return a.Key == b.Key && maps.Equal(a.TenantKeys, b.TenantKeys) &&
		slices.EqualFunc(a.Keys, b.Keys, func(a, b config.AdminKey) bool { return a.Key == b.Key })
}

func checkKeySet(ctx context.Context, sets *auth.KeySets, from auth.Source) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fileTime, fmt.Errorf("it was not read within %v", fileTime))
	defer cancel()
	return sets.CheckFile(ctx, from)
}

// keySetOf returns the key set of a tenant. Without a key set its address is "".
func keySetOf(j config.JWT) auth.Source {
	from := auth.Source{Address: j.JWKS.Absolute, Within: j.JWKS.Within, Restricted: j.Included}
	if strings.Contains(j.JWKS.Written, "${") {
		from.Name = j.JWKS.Written
	}
	return from
}

// keySetsOf returns the key sets of all tenants.
func keySetsOf(cfg *config.Config) (all []auth.Source) {
	for _, t := range cfg.Tenants {
		if from := keySetOf(t.Auth.JWT); from.Address != "" {
			all = append(all, from)
		}
	}
	return all
}

func problemAt(pos config.Pos, path string, err error) config.Problem {
	return config.Problem{File: pos.File, Line: pos.Line, Path: path, Message: err.Error()}
}

// checkTLS checks the certificates of all listeners.
func checkTLS(ctx context.Context, cfg *config.Config) error {
	all := map[string]config.TLS{"http.tls": cfg.HTTP.TLS, "admin.tls": cfg.Admin.TLS, "socket.tls": cfg.Socket.TLS}
	for i, s := range cfg.Socket.More {
		all[fmt.Sprintf("socket.more[%d].tls", i)] = s.TLS
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the certificates were not read within %v", readTime))
	defer cancel()
	var problems config.Problems
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if err := listen.Check(ctx, listen.Config{Cert: all[path].Cert.Absolute, Key: all[path].Key.Absolute}); err != nil {
			problems = append(problems, problemAt(all[path].Pos, path, err))
		}
	}
	if len(problems) > 0 {
		return ConfigError{problems}
	}
	return nil
}
