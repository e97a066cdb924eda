package api

import (
	"fmt"
	"testing"
)

// BenchmarkFindKey measures the lookup of a valid and an invalid key among the keys of 1 and of 10,000 tenants.
func BenchmarkFindKey(b *testing.B) {
	for _, tenants := range []int{1, 10_000} {
		keys := map[string]string{}
		for i := range tenants {
			keys[fmt.Sprint("t", i)] = fmt.Sprintf("the-key-of-tenant-%d", i)
		}
		k := newKeyring("the-key-of-the-admin", keys, 100)
		b.Run(fmt.Sprint("tenants=", tenants), func(b *testing.B) {
			for b.Loop() {
				if k.find("the-key-of-tenant-0") == nil || k.find("a guess") != nil {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// TestKeysHaveTheScopeOfTheirOwner checks that each key has the scope of its owner. If two keys have the same text, which the
// configuration refuses, the narrower scope applies.
func TestKeysHaveTheScopeOfTheirOwner(t *testing.T) {
	k := newKeyring("admin's", map[string]string{"acme": "acme's", "both": "admin's and both's", "none": ""}, 1)
	for text, want := range map[string]string{"admin's": "admin", "acme's": "tenant:acme", "admin's and both's": "tenant:both"} {
		if found := k.find(text); found == nil || found.scope.String() != want {
			t.Errorf("%q is the key of %v, want %s", text, found, want)
		}
	}
	for _, text := range []string{"", "acme", "acme's ", "ADMIN'S"} {
		if k.find(text) != nil {
			t.Errorf("%q is a key", text)
		}
	}
	if found := newKeyring("one", map[string]string{"acme": "one"}, 1).find("one"); found.scope.tenant != "acme" {
		t.Error("a key of two owners reaches everything")
	}
}
