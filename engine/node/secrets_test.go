package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/config"
)

// TestAChangedSecretOfAModuleIsTaken checks that secrets are compared besides the ID of the
// revision, which has only a few bits of a secret.
func TestAChangedSecretOfAModuleIsTaken(t *testing.T) {
	with := func(secret string) *config.Config {
		return &config.Config{Tenants: map[string]config.Tenant{"default": {Chain: []config.Entry{{Module: "m", Config: json.RawMessage(secret), Shown: json.RawMessage(`"${S}"`)}}}}}
	}
	if !sameSecrets(with(`"a"`), with(`"a"`)) || sameSecrets(with(`"a"`), with(`"b"`)) {
		t.Error("a secret of a module is not compared")
	}
	keys := func(key, tenants, named string) *config.Config {
		return &config.Config{Admin: config.Admin{Key: config.NewSecret(key), TenantKeys: map[string]config.Secret{"default": config.NewSecret(tenants)},
			Keys: []config.AdminKey{{Name: "ann", Key: config.NewSecret(named)}}}}
	}
	if !sameSecrets(keys("a", "b", "c"), keys("a", "b", "c")) {
		t.Error("the same keys differ")
	}
	for _, other := range []*config.Config{keys("x", "b", "c"), keys("a", "x", "c"), keys("a", "b", "x")} {
		if sameSecrets(keys("a", "b", "c"), other) {
			t.Error("a key is not compared")
		}
	}
}

func TestReadinessShowsFewProblems(t *testing.T) {
	r := new(reloader)
	last := api.Reload{}
	for i := range 1000 {
		last.Problems = append(last.Problems, fmt.Sprint("problem ", i))
	}
	r.last.Store(&last)
	text := r.healthy(t.Context()).Error()
	if !strings.Contains(text, "problem 9; and 990 more") || strings.Contains(text, "problem 10;") {
		t.Error(text)
	}
}
