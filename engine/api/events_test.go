package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/events"
	eventmemory "github.com/mootchat/moot/engine/events/memory"
)

// sinks implements api.Events for tenants acme and default, which have the sink crm. The sink refuses all events.
type sinks struct{ *events.Dispatcher }

func newSinks() sinks {
	d := events.New(events.Config{Store: &eventmemory.Store{}, Log: slog.New(slog.DiscardHandler)})
	d.Configure([]*events.Target{{Sink: events.Sink{Tenant: "acme", Name: "crm"}, Kinds: events.Default}, {Sink: events.Sink{Tenant: "default", Name: "crm"}, Kinds: events.Default}})
	return sinks{d}
}

// Test implements api.Events.
func (s sinks) Test(_ context.Context, sink events.Sink, by string) (api.SinkTest, bool) {
	return api.SinkTest{Status: 503, Answer: "for " + by, Error: "the server answered 503"}, s.Target(sink) != nil
}

// sinks calls the operations for the sinks of a tenant.
func (r *tour) sinks(tenant string) {
	r.t.Helper()
	path := "/api/tenants/" + tenant + "/sinks"
	r.ask("GET", path, "", 200, `{"sinks":[{"name":"crm","configured":true,"events":0,"bytes":0,"dead":0}]}`)
	r.ask("POST", path+"/crm/test", "", 200, `{"ok":false,"status":503,"answer":"for admin","error":"the server answered 503","took":`)
	r.ask("POST", path+"/none/test", "", 404, "has no sink none")
	r.ask("GET", path+"/none/dead", "", 404, "has no sink none")
	r.ask("POST", path+"/none/dead/retry", "{}", 404, "has no sink none")
	r.ask("POST", path+"/none/dead/drop", "{}", 404, "has no sink none")
	sink := events.Sink{Tenant: tenant, Name: "crm"}
	var records []events.Record
	for _, user := range []string{"ann", "bob", "bob", "eve"} {
		records = append(records, events.Record{Sink: sink, Event: events.NewEvent(events.NewID(), events.MemberJoined, "den", user, events.Member{Room: "den", User: user})})
	}
	store := r.events.Store()
	err := store.Append(r.t.Context(), records)
	if err == nil {
		var c *events.Claim
		if c, err = store.Claim(r.t.Context(), sink, 3, 1<<40); err == nil {
			_, err = store.Settle(r.t.Context(), c, events.Result{Dead: 3, Error: "400 Bad Request"})
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.ask("GET", path, "", 200, `"events":1,"bytes":`)
	var page struct {
		Dead   []api.DeadLetter
		Cursor string
	}
	if err := json.Unmarshal([]byte(r.ask("GET", path+"/crm/dead?limit=1", "", 200, `"error":"400 Bad Request"`)), &page); err != nil || len(page.Dead) != 1 || page.Dead[0].User != "ann" {
		r.t.Fatalf("the first page is %+v, %v", page, err)
	}
	if rest := r.ask("GET", path+"/crm/dead?cursor="+page.Cursor, "", 200, `"user":"bob"`); strings.Contains(rest, `"ann"`) || strings.Contains(rest, "cursor") {
		r.t.Errorf("the next page is %s", rest)
	}
	r.ask("GET", path+"/crm/dead?cursor=*", "", 422, `"invalid"`)
	r.ask("POST", path+"/crm/dead/retry", `{"places":["`+page.Dead[0].Place+`"]}`, 200, `{"moved":1}`)
	r.ask("DELETE", "/api/tenants/"+tenant+"/users/bob/events", "", 200, `{"moved":2}`)
	r.ask("POST", path+"/crm/dead/drop", `{}`, 200, `{"moved":0}`)
	r.ask("DELETE", "/api/tenants/"+tenant+"/users/ann/events", "", 200, `{"moved":1}`)
	r.ask("DELETE", "/api/tenants/"+tenant+"/users/eve/events", "", 200, `{"moved":1}`)
}
