package memory

import (
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/moderationtest"
)

func TestStore(t *testing.T) {
	moderationtest.Run(t, func(*testing.T) (a, b moderation.Store) {
		s := &Store{Limits: moderationtest.Limits}
		return s, s
	})
}

// TestAPageCostsAPage checks that a page allocates for its sanctions, and not for all of the tenant's.
func TestAPageCostsAPage(t *testing.T) {
	var s Store
	for i := range 5000 {
		one := moderation.Sanction{Tenant: "t", User: fmt.Sprint("user", i), Kind: moderation.Mute, Rooms: moderation.AllRooms}
		if err := one.Identify(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Set(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []moderation.Query{{Limit: 1}, {Limit: 10, Subject: "user:user7"}, {Limit: 1, Cursor: "user:user49"}} {
		n := testing.AllocsPerRun(10, func() {
			if page, _, err := s.List(t.Context(), "t", q); err != nil || len(page) != 1 {
				t.Errorf("%+v: %v, %v", q, page, err)
			}
		})
		if n > 10 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
}
