package api_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster/memory"
)

// TestModeratorsSeeEachOther checks that moderators of a tenant see each other on two nodes, with what each looks at, and that
// neither themselves nor moderators of another tenant.
func TestModeratorsSeeEachOther(t *testing.T) {
	hub := memory.New()
	one, two := start(t, hub.Node("one"), withRoles), start(t, hub.Node("two"), withRoles)
	seen := func(n *node, key, tenant, query string) string {
		t.Helper()
		status, answer := n.request("GET", "/api/tenants/"+tenant+"/desk?"+query, "", withKey(key))
		var got struct {
			Moderators  []api.Moderator
			Unreachable []string
		}
		if err := json.Unmarshal([]byte(answer), &got); status != 200 || err != nil || got.Moderators == nil {
			t.Fatalf("%d %s", status, answer)
		}
		text := ""
		for _, m := range got.Moderators {
			text += fmt.Sprintf("%s/%s:%s ", m.Name, m.Visit, m.Looking)
		}
		return text
	}
	for i, step := range []struct {
		node                     *node
		key, tenant, query, want string
	}{
		{one, "moderator-key-of-acme", "acme", "visit=a1", ""},
		{two, "operator-key-of-acme", "acme", "visit=b1&looking=h7", "moderator/a1: "},
		{one, "moderator-key-of-acme", "acme", "visit=a1&looking=h7", "operator/b1:h7 "},
		{one, "moderator-key-of-acme", "acme", "visit=a2", "moderator/a1:h7 operator/b1:h7 "},
		{two, "moderator-key-of-acme", "acme", "visit=a1&looking=h8", "moderator/a2: operator/b1:h7 "}, // its page has asked another node
		{one, "author-key-of-acme", "acme", "", "moderator/a1:h8 moderator/a2: operator/b1:h7 "},
		{two, "moderator-key-of-all", "default", "visit=c1", ""},
	} {
		if got := seen(step.node, step.key, step.tenant, step.query); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	for _, bad := range []string{"visit=a%20b", "looking=%3Cb%3E"} {
		if status, answer := one.request("GET", "/api/tenants/acme/desk?"+bad, ""); status != 422 {
			t.Errorf("%s: %d %s", bad, status, answer)
		}
	}
}
