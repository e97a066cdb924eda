package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// heldMessages is the number of messages that the test holds.
const heldMessages = 120

// TestHeldMessagesSurviveTheDeathOfTheReleasingNode kills a node while moderators release messages on it, with other moderators
// on the other node. A member receives each message once.
func TestHeldMessagesSurviveTheDeathOfTheReleasingNode(t *testing.T) {
	redis := redistest.Start(t)
	const rules = "{ module: blocklist, config: { words: [darn], action: hold } }"
	more := []string{"modules.blocklist.builtin=blocklist", "tenants.default.limits.heldPerAuthor=1000", "admin.requestsPerSecond=10000"}
	doomed, survivor := runNode(t, "doomed", redis.Address(), rules, more...), runNode(t, "survivor", redis.Address(), rules, more...)
	author, member := newGuest(t, "author", doomed), newGuest(t, "member", survivor)
	for i := range heldMessages {
		author.send(fmt.Sprintf(`{"event":"say","room":"hall","message":"darn %d","key":"k%[1]d","messageId":%[1]d}`, i+1))
	}
	awaitHeld(t, "all messages are answered", func() bool { answer, ok := author.answer(heldMessages); return ok && answer == "" })
	ids := heldOn(t, survivor)
	if len(ids) != heldMessages {
		t.Fatalf("%d messages are held", len(ids))
	}
	var killed sync.Once
	var released atomic.Int64
	release := func(s *nodetest.Server, id string) bool {
		status, answer, err := decideOn(t.Context(), s, id)
		if err == nil && status != http.StatusOK && status != http.StatusConflict {
			t.Errorf("%s: %d %s", id, status, answer)
		}
		if err == nil && released.Add(1) == heldMessages/3 {
			killed.Do(doomed.Kill)
		}
		return err == nil
	}
	var all sync.WaitGroup
	for part := range slices.Chunk(ids, heldMessages/8) {
		all.Go(func() {
			for i, id := range part {
				first, second := doomed, survivor
				if i%4 == 3 {
					first, second = second, first
				}
				if !release(first, id) { // the node is dead; it may have begun to decide
					release(second, id)
				}
			}
		})
	}
	all.Wait()
	awaitHeld(t, "no message waits", func() bool { return len(heldOn(t, survivor)) == 0 })
	awaitHeld(t, "the member has all messages", func() bool { return member.received() >= heldMessages })
	member.mu.Lock()
	defer member.mu.Unlock()
	times := map[string]int{}
	for _, text := range member.heard {
		times[text]++
	}
	for i := range heldMessages {
		if n := times[fmt.Sprint("darn ", i+1)]; n != 1 {
			t.Errorf("message %d was received %d times", i+1, n)
		}
	}
}

func awaitHeld(t testing.TB, what string, is func() bool) {
	t.Helper()
	if err := redistest.Await(what, is); err != nil {
		t.Fatal(err)
	}
}

// received returns the number of messages that the guest has received.
func (g *guest) received() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.heard)
}

// heldOn returns the ids of the messages that wait.
func heldOn(t testing.TB, s *nodetest.Server) (ids []string) {
	t.Helper()
	status, text, err := requestOn(t.Context(), s, http.MethodGet, "?limit=1000", "")
	var page struct{ Held []struct{ ID string } }
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(text), &page) != nil {
		t.Fatalf("%d %s %v", status, text, err)
	}
	for _, one := range page.Held {
		ids = append(ids, one.ID)
	}
	return ids
}

func decideOn(ctx context.Context, s *nodetest.Server, id string) (status int, answer string, err error) {
	return requestOn(ctx, s, http.MethodPost, "/"+id+"/release", "{}")
}

func requestOn(ctx context.Context, s *nodetest.Server, method, path, body string) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.Admin+"/api/tenants/default/held"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	return a.StatusCode, string(text), err
}
