package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/review"
	reviewmemory "github.com/mootchat/moot/engine/review/memory"
)

// trialsFunc implements api.Trials.
type trialsFunc func() (api.Tried, error)

func (f trialsFunc) Try(context.Context, string, string, api.Trial) (api.Tried, error) { return f() }

// TestARefusalThatMayPassSaysWhen checks that a refusal by an open breaker has status 503 and Retry-After.
func TestARefusalThatMayPassSaysWhen(t *testing.T) {
	n := alone(t, func(c *api.Config) {
		c.Trials = trialsFunc(func() (api.Tried, error) { return api.Tried{}, &engine.RetryError{Wait: 1500 * time.Millisecond} })
	})
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9090/api/tenants/default/modules/m/trials", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.api.Handler().ServeHTTP(w, r)
	if got := w.Body.String(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || code(got) != api.CodeTryAgain || !strings.Contains(got, "try again") {
		t.Errorf("%d, after %q: %s", w.Code, w.Header().Get("Retry-After"), got)
	}
}

// TestADecisionThatCameFirstIsNamed checks the messages of faults about items that have expired, that their authors withdraw, and
// about which another person decides.
func TestADecisionThatCameFirstIsNamed(t *testing.T) {
	n := alone(t)
	at := time.Now().Add(-time.Minute)
	item := func(by review.Decision, kind review.Kind) string {
		one := review.Item{ID: review.NewID(at), Tenant: "default", Kind: kind, State: review.Open, At: at.UnixMilli(), Until: time.Now().Add(time.Hour).UnixMilli(), User: "ann", Unique: review.UniqueOf(kind, string(by.Action))}
		if kind == review.Report {
			one.Reporters = []review.Reporter{{User: "bob"}}
		}
		if by.Action == review.Expire {
			one.Until = at.UnixMilli()
		}
		one.Due = one.Until
		stored, err := n.review.Put(t.Context(), one, review.Limits{})
		switch {
		case err != nil:
		case by.Action == review.Expire:
			_, err = review.Claim(t.Context(), &n.review, stored, "other", review.Limits{})
		default:
			_, err = review.Begin(t.Context(), &n.review, "default", stored.ID, by, review.Limits{})
		}
		if err != nil {
			t.Fatal(err)
		}
		return one.ID
	}
	for _, c := range []struct {
		kind     review.Kind
		decision review.Decision
		want     string
	}{
		{review.Report, review.Decision{Action: review.Expire}, `^a decision about report ID is being carried out: 20[^ ]*Z: it has expired$`},
		{review.Report, review.Decision{Action: review.Dismiss, By: "mia"}, `^a decision about report ID is being carried out: 20[^ ]*Z: dismiss by mia$`},
		{review.Held, review.Decision{Action: review.Expire}, `^held message ID was decided already at 20[^ ]*Z: it has expired$`},
		{review.Held, review.Decision{Action: review.Withdraw}, `^held message ID was decided already at 20[^ ]*Z: its author has withdrawn it$`},
		{review.Held, review.Decision{Action: review.Release, By: "mia"}, `^held message ID was decided already at 20[^ ]*Z: release by mia$`},
	} {
		path := map[review.Kind]string{review.Report: "reports/ID/dismiss", review.Held: "held/ID/reject"}[c.kind]
		id := item(c.decision, c.kind)
		status, answer := n.request(http.MethodPost, "/api/tenants/default/"+strings.Replace(path, "ID", id, 1), "{}")
		var f api.Fault
		if err := json.Unmarshal([]byte(answer), &f); err != nil || status != http.StatusConflict || f.What.Code != api.CodeDecided {
			t.Errorf("%s %s: %d %s", c.kind, c.decision.Action, status, answer)
		}
		if message := strings.Replace(f.What.Message, id, "ID", 1); !regexp.MustCompile(c.want).MatchString(message) {
			t.Errorf("%s %s: %q, want %s", c.kind, c.decision.Action, message, c.want)
		}
	}
}

// fullDisk is a review queue on a full disk.
type fullDisk struct{ review.Store }

func (fullDisk) Put(_ context.Context, one review.Item, _ review.Limits) (review.Item, error) {
	return one, fmt.Errorf("%w: /data/moderation.db: the disk is full, and nothing was changed: free space", review.ErrUnavailable)
}

// TestAFullDiskIsNamed checks the status of a decision that a full disk refuses, and that the message waits for a decision.
func TestAFullDiskIsNamed(t *testing.T) {
	var queue reviewmemory.Store
	e := enginetest.New(t, func(c *engine.Config) { c.Review = fullDisk{&queue} })
	n := &node{t: t, engine: e, api: api.New(api.Config{Engine: e, Version: "test", Keys: keys(nil), Log: slog.New(slog.DiscardHandler)})}
	enginetest.Run(t, e)
	now := time.Now()
	one, _, err := review.Hold(t.Context(), &queue, review.Item{ID: review.NewID(now), Tenant: "default", At: now.UnixMilli(), User: "ann", Room: "r", Said: "r"}, review.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	status, answer := n.request(http.MethodPost, "/api/tenants/default/held/"+one.ID+"/release", "{}")
	if status != http.StatusServiceUnavailable || code(answer) != api.CodeUnavailable || !strings.Contains(answer, "the disk is full, and nothing was changed: free space") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := n.request(http.MethodGet, "/api/tenants/default/held/"+one.ID, ""); status != http.StatusOK || !strings.Contains(answer, `"outcome":"waiting"`) {
		t.Errorf("%d %s", status, answer)
	}
}

// TestTheQueueOfATenantIsCounted checks the numbers and the ages of the review queue in the API and in the metrics, and the counters of
// amendments and of decided items that were removed early.
func TestTheQueueOfATenantIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := alone(t)
		hold := func(limits review.Limits) review.Item {
			now := time.Now()
			one, _, err := review.Hold(t.Context(), &n.review, review.Item{ID: review.NewID(now), Tenant: "default", At: now.UnixMilli(), User: "ann"}, limits)
			if err != nil {
				t.Fatal(err)
			}
			return one
		}
		for range 2 { // the second decided item takes the place of the first
			one, err := review.Begin(t.Context(), &n.review, "default", hold(review.Limits{}).ID, review.Decision{Action: review.Reject, By: "mia"}, review.Limits{})
			if err == nil {
				_, err = review.End(t.Context(), &n.review, one, review.Limits{Items: 1})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		since := hold(review.Limits{}).At
		time.Sleep(time.Minute)
		hold(review.Limits{})
		if err := n.engine.RetractMessage(t.Context(), cluster.RoomID{Tenant: "default", Room: "lobby"}, "m1", "mia"); err != nil {
			t.Error(err)
		}
		if err := n.engine.EditMessage(t.Context(), cluster.RoomID{Tenant: "default", Room: "lobby"}, "m1", "mia", []byte(`"new"`)); err == nil {
			t.Error("a room without history takes an edit")
		}
		time.Sleep(30 * time.Second)
		want := fmt.Sprintf(`"held":{"items":2,"since":%d},"reports":{"items":0}`, since)
		for _, path := range []string{"", "/default"} {
			if status, answer := n.request(http.MethodGet, "/api/tenants"+path, ""); status != http.StatusOK || !strings.Contains(answer, want) {
				t.Errorf("%d %s, want %s", status, answer, want)
			}
		}
		_, text := n.request(http.MethodGet, "/metrics", "")
		for _, want := range []string{`moot_held_messages{tenant="default"} 2`, `moot_held_age_seconds{tenant="default"} 90`, `moot_review_dropped{tenant="default"} 1`,
			`moot_amendments_total{kind="retract",result="published"} 1`, `moot_amendments_total{kind="edit",result="refused"} 1`, `moot_amendments_total{kind="edit",result="failed"} 0`} {
			if !strings.Contains(text, "\n"+want+"\n") {
				t.Errorf("the metrics do not have %s", want)
			}
		}
	})
}
