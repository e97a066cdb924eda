package api

import (
	"fmt"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// BenchmarkFindKey measures the lookup of a valid and an invalid key among the keys of 1 and of 10,000 tenants.
func BenchmarkFindKey(b *testing.B) {
	for _, tenants := range []int{1, 10_000} {
		keys := []Key{{Name: "admin", Text: "the-key-of-the-admin", Role: operator}}
		for i := range tenants {
			keys = append(keys, Key{Name: fmt.Sprint("t", i), Text: fmt.Sprintf("the-key-of-tenant-%d", i), Role: operator, Tenants: []string{fmt.Sprint("t", i)}})
		}
		k := newKeyring(100, keys...)
		b.Run(fmt.Sprint("tenants=", tenants), func(b *testing.B) {
			for b.Loop() {
				if k.find("the-key-of-tenant-0") == nil || k.find("a guess") != nil {
					b.Fatal("wrong")
				}
			}
		})
	}
}

// TestKeysAreFoundByTheirText checks that each key is found by its whole text alone. If two keys have the same text, which
// the configuration refuses, the one that may do less is found.
func TestKeysAreFoundByTheirText(t *testing.T) {
	admin := Key{Name: "admin", Text: "admin's", Role: operator}
	acme := Key{Name: "tenant:acme", Text: "acme's", Role: operator, Tenants: []string{"acme"}}
	k := newKeyring(1, admin, acme, Key{Name: "none", Role: operator})
	for text, want := range map[string]string{"admin's": "admin", "acme's": "tenant:acme"} {
		if found := k.find(text); found == nil || found.name != want {
			t.Errorf("%q is the key %+v, want %s", text, found, want)
		}
	}
	for _, text := range []string{"", "acme", "acme's ", "ADMIN'S"} {
		if k.find(text) != nil {
			t.Errorf("%q is a key", text)
		}
	}
	acme.Text = "admin's"
	viewer := Key{Name: "viewer", Text: "admin's", Role: viewer}
	for _, c := range []struct {
		keys []Key
		want string
	}{{[]Key{admin, acme}, "tenant:acme"}, {[]Key{acme, admin}, "tenant:acme"}, {[]Key{admin, viewer}, "viewer"}, {[]Key{viewer, admin}, "viewer"}, {[]Key{viewer, acme}, "tenant:acme"}} {
		if found := newKeyring(1, c.keys...).find("admin's"); found.name != c.want {
			t.Errorf("the key of two owners is %s, want %s", found.name, c.want)
		}
	}
}

// TestKeysKeepTheirLimits checks that new keys leave the limits of an unchanged key as they are, and that a changed one counts
// as removed.
func TestKeysKeepTheirLimits(t *testing.T) {
	same, other := Key{Name: "a", Text: "text a", Role: viewer, Tenants: []string{"y", "x"}}, Key{Name: "b", Text: "text b", Role: viewer}
	k := newKeyring(1, same, other)
	a, b := k.find(same.Text), k.find(other.Text)
	a.pay(2)
	other.Role, same.Tenants = author, []string{"x", "y"}
	k.use([]Key{other, same})
	if k.find(same.Text) != a || k.find(same.Text).pay(1) == 0 {
		t.Error("the unchanged key has new limits")
	}
	select {
	case <-a.gone:
		t.Error("the unchanged key is gone")
	case <-b.gone:
	default:
		t.Error("the changed key is not gone")
	}
	if k.find(other.Text).role != author {
		t.Error("the changed key has its old role")
	}
}

type decisions interface{ Decisions } // an embedded Decisions would hide its method

// TestEveryOperationHasARole checks that the table of roles has all operations of the server API, and no others.
func TestEveryOperationHasARole(t *testing.T) {
	s := New(Config{Rules: struct{ Rules }{}, Modules: struct{ Modules }{}, Decisions: struct{ decisions }{}, Values: struct{ Values }{},
		Recorder: struct{ Recorder }{}, Trials: struct{ Trials }{}, Events: struct{ Events }{}})
	seen := map[string]bool{}
	for path, item := range s.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			seen[op.OperationID] = true
			role, ok := leastRoles[op.OperationID]
			if !ok || role.rank() == 0 {
				t.Errorf("%s: operation %s has the least role %q: add it to leastRoles", path, op.OperationID, role)
			}
			if op.Extensions["x-role"] != string(role) {
				t.Errorf("%s: the document has the role %v, want %s", op.OperationID, op.Extensions["x-role"], role)
			}
		}
	}
	for id := range leastRoles {
		if !seen[id] {
			t.Errorf("leastRoles has %s, which is not an operation", id)
		}
	}
}
