package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// says sends a request and waits for the answer: "" is OK, any other value is the error.
func (g *guest) says(id int, request string) (answer string, took time.Duration) {
	g.t.Helper()
	began := time.Now()
	g.send(fmt.Sprintf(`{%s,"messageId":%d}`, request, id))
	if err := redistest.Await(request+" is answered", func() (ok bool) { answer, ok = g.answer(id); return ok }); err != nil {
		g.t.Fatal(err)
	}
	return answer, time.Since(began)
}

// maxAnswer is less than the default of publishTimeout, and long enough for a busy machine.
const maxAnswer = 12 * time.Second

// TestTheLossOfRedisIsReported checks that without Redis requests fail after publishTimeout, clients stay connected,
// and readiness fails. When Redis is back without data, the rooms and members must be restored.
func TestTheLossOfRedisIsReported(t *testing.T) {
	redis := redistest.Start(t)
	node := runNode(t, "one", redis.Address(), "", "cluster.publishTimeout=1s", "tenants.default.rooms.starting=[hall, side]")
	ann, bob := newGuest(t, "ann", node), newGuest(t, "bob", node)
	ready := func(want int) {
		t.Helper()
		if err := redistest.Await(fmt.Sprint("readiness is ", want), func() bool { status, _ := ask(t, node, "/health/ready"); return status == want }); err != nil {
			t.Fatal(err)
		}
	}
	ready(http.StatusOK)
	redis.Kill()
	for i, request := range []string{`"event":"say","room":"hall","message":"lost"`, `"event":"roomAdd","room":"side"`, `"event":"roomView","room":"hall"`,
		`"event":"roomHistory","room":"hall"`} {
		answer, took := ann.says(10+i, request)
		if answer != "cluster unavailable" && answer != "outcome unknown" || took > maxAnswer {
			t.Errorf("%s: %q after %v", request, answer, took)
		}
	}
	ready(http.StatusServiceUnavailable)
	if _, body := ask(t, node, "/health/ready"); !strings.Contains(body, "redis does not answer at standalone "+redis.Address()) {
		t.Errorf("readiness says %s", body)
	}
	if answer, _ := ann.says(20, `"event":"detailsView"`); answer != "" {
		t.Errorf("detailsView: %s", answer)
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusOK)
	// A Redis that restarted without its data accepts nothing new for 2 s, which is longer than this
	// publishTimeout.
	id := 30
	if err := redistest.Await("a message is accepted", func() bool {
		id++
		answer, _ := ann.says(id, `"event":"say","room":"hall","message":"back"`)
		return answer == ""
	}); err != nil {
		t.Error(err)
	}
	for _, g := range []*guest{ann, bob} {
		if err := redistest.Await(g.name+" receives it", func() bool { all := g.all(); return len(all) > 0 && all[len(all)-1] == "back" }); err != nil {
			t.Error(err)
		}
	}
	if err := redistest.Await("both are counted", func() bool { return ann.members() == 2 }); err != nil {
		t.Error(err)
	}
	if answer, _ := ann.says(id+1, `"event":"roomAdd","room":"side"`); answer != "" {
		t.Errorf("a room that was not in the new Redis: %s", answer)
	}
	if _, metrics := ask(t, node, "/metrics"); !strings.Contains(metrics, "moot_cluster_restored_total 2") {
		t.Errorf("the counters are\n%s", lines(metrics, "moot_cluster_"))
	}
}

// lines returns the lines that begin with prefix.
func lines(text, prefix string) (some string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			some += line
		}
	}
	return some
}

// TestADeadNodeIsNamed checks that a request about a connection of a dead node fails soon, and
// that the error has the node's name.
func TestADeadNodeIsNamed(t *testing.T) {
	redis := redistest.Start(t)
	doomed, survivor := runNode(t, "doomed", redis.Address(), ""), runNode(t, "survivor", redis.Address(), "")
	ann := newGuest(t, "ann", doomed)
	var id string
	if err := redistest.Await("the survivor sees her", func() bool {
		_, body := ask(t, survivor, "/api/tenants/default/rooms/hall/members")
		var page struct{ Members []struct{ ID string } }
		if json.Unmarshal([]byte(body), &page) == nil && len(page.Members) == 1 {
			id = page.Members[0].ID
		}
		return id != ""
	}); err != nil {
		t.Fatal(err)
	}
	path := "/api/tenants/default/connections/" + id
	if status, body := ask(t, survivor, path); status != http.StatusOK || !strings.Contains(body, id) {
		t.Fatalf("%d %s", status, body)
	}
	doomed.Kill()
	began := time.Now()
	status, body := ask(t, survivor, path)
	if status < 400 || !strings.Contains(body, "doomed") || time.Since(began) > maxAnswer {
		t.Errorf("after %v: %d %s", time.Since(began), status, body)
	}
	_ = ann
}
