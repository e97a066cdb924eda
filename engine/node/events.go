package node

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/config"
	"github.com/mootchat/moot/engine/events"
	eventmemory "github.com/mootchat/moot/engine/events/memory"
	"github.com/mootchat/moot/engine/events/webhook"
	"github.com/mootchat/moot/engine/glob"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/host/report"
)

// eventLimits returns the limits of the store of events.
func eventLimits(l config.Limits) events.Limits {
	return events.Limits{TenantBytes: int64(l.EventBytes), TotalBytes: int64(l.EventTotalBytes), Age: l.EventAge}
}

// newDispatcher returns the dispatcher of a node, without sinks.
func newDispatcher(store events.Store, log *slog.Logger) *events.Dispatcher {
	return events.New(events.Config{Store: store, Log: log, Send: func(ctx context.Context, to *events.Target, records []events.Record, dropped uint64) events.Delivery {
		return to.To.(*webhook.Sender).Send(ctx, records, dropped)
	}})
}

// useSinks makes the dispatcher deliver to the sinks of a configuration, which was checked before.
func useSinks(d *events.Dispatcher, cfg *config.Config, log *slog.Logger) {
	all := targetsOf(cfg, log)
	if _, volatile := d.Store().(*eventmemory.Store); volatile && len(all) > 0 {
		log.Warn("events are in memory, and those that were not delivered end with the process: set data to a directory, or cluster.backend to redis, to keep them", "sinks", len(all))
	}
	d.Configure(all)
}

func targetsOf(cfg *config.Config, log *slog.Logger) (all []*events.Target) {
	networks := cfg.Limits.Networks()
	for _, tenant := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		for _, s := range cfg.Tenants[tenant].Events {
			w := webhook.Config{URL: s.URL, Batch: s.Batch > 1, Restricted: s.Included, Networks: networks, Headers: make(map[string]string, len(s.Headers))}
			for _, secret := range s.Secrets {
				w.Secrets = append(w.Secrets, secret.Reveal())
			}
			for name, value := range s.Headers {
				w.Headers[name] = value.Reveal()
			}
			sender, err := webhook.New(w)
			if err != nil { // config has checked the values
				log.Error("a sink is not used", "tenant", tenant, "sink", s.Name, "error", err)
				continue
			}
			all = append(all, &events.Target{Sink: events.Sink{Tenant: tenant, Name: s.Name}, Kinds: kindsOf(s.Kinds), Rooms: roomsOf(s.Rooms), Batch: s.Batch, Time: s.Timeout, To: sender})
		}
	}
	return all
}

// kindsOf returns the kinds with these names; events.Default if there are no names.
func kindsOf(names []string) (kinds events.Kinds) {
	if len(names) == 0 {
		return events.Default
	}
	for _, name := range names {
		if k, known := events.KindNamed(name); known {
			kinds = kinds.With(k)
		}
	}
	return kinds
}

// roomsOf returns a function that reports whether one of the patterns matches a room; nil if all rooms match.
func roomsOf(patterns []string) func(string) bool {
	if slices.Equal(patterns, []string{"*"}) {
		return nil
	}
	var all []*glob.Glob
	for _, p := range patterns {
		if g, err := glob.Compile(p); err == nil { // config has checked the pattern
			all = append(all, g)
		}
	}
	return func(room string) bool {
		return slices.ContainsFunc(all, func(g *glob.Glob) bool { return g.Match(room) })
	}
}

// decisionEvents makes events from the decisions of rules, for sinks that select them.
type decisionEvents struct{ to *events.Dispatcher }

// Wants implements host.Observer.
func (d decisionEvents) Wants(tenant string) bool { return d.to.Wants(tenant).Has(events.RuleDecided) }

// Decided implements host.Observer. It leaves out plain allows, verdicts of shadows, which are not applied, and the state of breakers.
func (d decisionEvents) Decided(ev *hook.Event, of report.Decision) {
	switch {
	case of.Shadow, of.Verdict == report.Allow, of.Verdict == report.Opened, of.Verdict == report.Closed:
		return
	}
	room := strings.Clone(of.Room)
	data := events.Decision{Hook: of.Hook, Room: room, Rule: of.Module, Verdict: of.Verdict, Reason: of.Reason, Code: of.Code, Receivers: of.Receivers}
	if ev.Conn != nil {
		data.Connection, data.User = ev.Conn.ID, ev.Conn.User
	}
	d.to.Begin(ev.Tenant, events.RuleDecided, events.NewEvent(events.NewID(), events.RuleDecided, room, data.User, data))
}

// endEvents is the time in which a node that stops writes its last events and ends deliveries.
const endEvents = time.Second

// closeEvents writes the events that the store does not have yet, and ends the deliveries.
func (n *Node) closeEvents() error {
	ctx, cancel := context.WithTimeout(context.Background(), endEvents)
	defer cancel()
	return n.events.Close(ctx)
}

// sinks gives the server API access to the node's dispatcher.
type sinks struct{ *events.Dispatcher }

// Test implements api.Events.
func (s sinks) Test(ctx context.Context, sink events.Sink, by string) (result api.SinkTest, found bool) {
	t := s.Target(sink)
	if t == nil {
		return result, false
	}
	ctx, cancel := context.WithTimeout(ctx, t.Time)
	defer cancel()
	e := events.Record{Sink: sink, Event: events.NewEvent(events.NewID(), events.Test, "", "", events.Ping{By: by})}
	answer, got := t.To.(*webhook.Sender).Post(ctx, []events.Record{e}, 0)
	result = api.SinkTest{OK: got.Err == nil, Status: answer.Status, Answer: answer.Body, Took: millis.DurationOf(answer.Elapsed)}
	if got.Err != nil {
		result.Error = got.Err.Error()
	}
	return result, true
}
