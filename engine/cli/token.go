package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/auth"
	"github.com/mootchat/moot/engine/config"
)

type tokenCommand struct {
	configFlags
	Tenant string        `default:"default" help:"Tenant of the configuration whose key signs the token." placeholder:"NAME"`
	User   string        `help:"User of the token: its claim sub." placeholder:"NAME"`
	Claim  []string      `help:"Add a claim, such as role=admin. A value that is valid JSON is used as JSON. Repeatable." placeholder:"NAME=VALUE"`
	TTL    time.Duration `name:"ttl" default:"1h" help:"Time until the token expires." placeholder:"DURATION"`
	Key    string        `help:"Private key in PEM form; required where the tenant has public keys." placeholder:"FILE"`
	KeyID  string        `name:"kid" help:"ID of the key in a key set." placeholder:"ID"`
	JSON   bool          `name:"json" help:"Print JSON."`
}

// Run prints a token for tests.
func (c *tokenCommand) Run(ctx context.Context, t terminal) error {
	cfg, err := c.read(ctx)
	if err != nil {
		return err
	}
	tenant, ok := cfg.Tenants[c.Tenant]
	if !ok {
		return misuse{fmt.Errorf("moot: %s has no tenant %q: it has %s", c.Config, c.Tenant, strings.Join(slices.Sorted(maps.Keys(cfg.Tenants)), ", "))}
	}
	token, err := c.make(tenant.Auth.JWT)
	if err != nil {
		return misuse{fmt.Errorf("moot: %w", err)}
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]string{"token": token})
	}
	_, err = fmt.Fprintln(t.out, token)
	return err
}

func (c *tokenCommand) make(j config.JWT) (string, error) {
	claims, err := claimsOf(c.Claim)
	if err != nil {
		return "", err
	}
	signer, err := c.signer(j)
	if err != nil {
		return "", err
	}
	return signer.Sign(auth.Draft{User: c.User, Issuer: j.Issuer, Audience: j.Audience[:min(1, len(j.Audience))],
		KeyID: c.KeyID, Expires: time.Now().Add(c.TTL), Claims: claims})
}

func (c *tokenCommand) signer(j config.JWT) (*auth.Signer, error) {
	switch {
	case !j.Keys():
		return nil, fmt.Errorf("tenant %s accepts no tokens: set tenants.%[1]s.auth.jwt", c.Tenant)
	case j.Secret.Reveal() != "":
		return auth.SecretSigner([]byte(j.Secret.Reveal()))
	case c.Key == "":
		return nil, fmt.Errorf("tenant %s has public keys: give the file of the private key with --key", c.Tenant)
	}
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return nil, err
	}
	signer, err := auth.KeySigner(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Key, err)
	}
	return signer, nil
}

// claimsOf reads claims of the form NAME=VALUE.
func claimsOf(words []string) (map[string]any, error) {
	claims := map[string]any{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("--claim %q is not NAME=VALUE", word)
		case slices.Contains([]string{"sub", "exp", "iat", "iss", "aud"}, name):
			return nil, errors.New("--claim " + name + " is set by --user, --ttl and the configuration")
		case json.Valid([]byte(value)):
			claims[name] = json.RawMessage(value)
		default:
			claims[name] = value
		}
	}
	return claims, nil
}
