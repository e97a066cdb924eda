package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/millis"
)

// Events gives access to the events that wait for the sinks of tenants. Its methods may be called concurrently.
type Events interface {
	// Targets returns the names of the sinks that are configured for the tenant, in order.
	Targets(tenant string) []string
	// Store returns the store of events that wait, and of dead letters.
	Store() events.Store
	// Counters returns the numbers of this node.
	Counters() events.Counters
	// Usage returns what waits for all sinks.
	Usage() events.Usage
	// Erase removes the events and dead letters of a user from the store and from this node, and returns their number.
	Erase(ctx context.Context, tenant, user string) (int, error)
	// Test sends an event of the kind test to a sink at once, for the person by. found is false if no such sink is configured.
	Test(ctx context.Context, sink events.Sink, by string) (result SinkTest, found bool)
}

// Sink is a sink of a tenant with its state.
type Sink struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured" doc:"false: this node has no such sink; its events wait until they are too old."`
	Events     int    `json:"events" doc:"Events that wait."`
	Bytes      int64  `json:"bytes" doc:"Of the events that wait."`
	OldestAt   int64  `json:"oldestAt,omitempty" format:"unix-ms" doc:"Since when the oldest event waits; missing: none waits."`
	Dead       int    `json:"dead" doc:"Dead letters: events that the sink rejected or did not accept in time, and events beyond the limits."`
	Dropped    uint64 `json:"dropped,omitempty" doc:"Events that were lost since the last delivery that succeeded, because dead letters exceeded the limits."`
	Failures   int    `json:"failures,omitempty" doc:"Failed deliveries since the last that succeeded."`
	Error      string `json:"error,omitempty" doc:"Of the last delivery, if it failed."`
	NextAt     int64  `json:"nextAt,omitempty" format:"unix-ms" doc:"The earliest time of the next delivery; missing: no event waits."`
}

// DeadLetter is an event that was not delivered.
type DeadLetter struct {
	Place string          `json:"place" doc:"Names the dead letter in requests."`
	ID    string          `json:"id"`
	Kind  string          `json:"kind"`
	Room  string          `json:"room,omitempty"`
	User  string          `json:"user,omitempty"`
	At    int64           `json:"at" format:"unix-ms" doc:"When it happened."`
	Data  json.RawMessage `json:"data"`
	Error string          `json:"error" doc:"Why the event was not delivered."`
}

// SinkTest is the result of a test of a sink.
type SinkTest struct {
	OK     bool            `json:"ok" doc:"The sink has accepted the event."`
	Status int             `json:"status,omitempty" doc:"The status of the answer; missing: there was no answer."`
	Answer string          `json:"answer,omitempty" doc:"The body of the answer, cut at 4 KiB."`
	Error  string          `json:"error,omitempty" doc:"Why the sink did not accept the event."`
	Took   millis.Duration `json:"took" format:"duration-ms"`
}

// Moved is the number of dead letters that a request has changed.
type Moved struct {
	Moved int `json:"moved" doc:"At most 1000: repeat the request until it is 0."`
}

// InSink are the parameters of a sink.
type InSink struct {
	InTenant
	Sink string `path:"sink" maxLength:"63" doc:"The name of the sink."`
}

// Places selects dead letters.
type Places struct {
	Places []string `json:"places,omitempty" maxItems:"1000" doc:"Missing or empty: all dead letters of the sink."`
}

func (s *Server) eventOperations() {
	if s.cfg.Events == nil {
		return
	}
	const all = tenantPath + "/sinks"
	const one = all + "/{sink}"
	huma.Register(s.api, s.list("listSinks", all, "List the sinks of a tenant that receive its events, with what waits for them"), s.listSinks)
	huma.Register(s.api, s.operation("testSink", http.MethodPost, one+"/test", 200, "Send a test event to a sink at once, and return its answer"), s.testSink)
	huma.Register(s.api, s.list("listDeadLetters", one+"/dead", "List the events of a sink that were not delivered, oldest first"), s.listDead)
	huma.Register(s.api, s.operation("retryDeadLetters", http.MethodPost, one+"/dead/retry", 200, "Deliver dead letters again"), s.retryDead)
	huma.Register(s.api, s.operation("dropDeadLetters", http.MethodPost, one+"/dead/drop", 200, "Remove dead letters"), s.dropDead)
	huma.Register(s.api, s.operation("eraseUserEvents", http.MethodDelete, tenantPath+"/users/{user}/events", 200, "Remove the events and dead letters of a user that wait for sinks"), s.eraseEvents)
}

type sinkList struct {
	Body struct {
		Sinks []Sink `json:"sinks" doc:"Sorted by name."`
	}
}

func (s *Server) listSinks(ctx context.Context, in *InTenant) (*sinkList, error) {
	states, err := s.cfg.Events.Store().States(ctx, in.Tenant)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &sinkList{}
	out.Body.Sinks = []Sink{}
	names := s.cfg.Events.Targets(in.Tenant)
	for _, name := range names {
		if !slices.ContainsFunc(states, func(st events.State) bool { return st.Sink == name }) {
			states = append(states, events.State{Sink: name})
		}
	}
	slices.SortFunc(states, func(a, b events.State) int { return cmp.Compare(a.Sink, b.Sink) })
	for _, st := range states {
		out.Body.Sinks = append(out.Body.Sinks, Sink{Name: st.Sink, Configured: slices.Contains(names, st.Sink), Events: st.Events, Bytes: st.Bytes, OldestAt: st.Oldest,
			Dead: st.Dead, Dropped: st.Dropped, Failures: st.Failures, Error: st.Error, NextAt: st.Next})
	}
	return out, nil
}

type sinkTest struct{ Body SinkTest }

func (s *Server) testSink(ctx context.Context, in *InSink) (*sinkTest, error) {
	result, found := s.cfg.Events.Test(ctx, events.Sink{Tenant: in.Tenant, Name: in.Sink}, by(ctx))
	if !found {
		return nil, noSink(*in)
	}
	return &sinkTest{result}, nil
}

func noSink(in InSink) error {
	return fault(http.StatusNotFound, CodeNotFound, "tenant %s has no sink %s", in.Tenant, in.Sink)
}

// hasSink returns an error unless the sink is configured, or was and has events or dead letters.
func (s *Server) hasSink(ctx context.Context, in InSink) error {
	if slices.Contains(s.cfg.Events.Targets(in.Tenant), in.Sink) {
		return nil
	}
	states, err := s.cfg.Events.Store().States(ctx, in.Tenant)
	if err != nil {
		return s.faultOf(err)
	}
	if !slices.ContainsFunc(states, func(st events.State) bool { return st.Sink == in.Sink }) {
		return noSink(in)
	}
	return nil
}

type deadList struct {
	Body struct {
		Dead   []DeadLetter `json:"dead"`
		Cursor string       `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

func (s *Server) listDead(ctx context.Context, in *struct {
	InSink
	Cursor string `query:"cursor" maxLength:"100" pattern:"^[0-9-]*$" doc:"The cursor of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*deadList, error) {
	if err := s.hasSink(ctx, in.InSink); err != nil {
		return nil, err
	}
	page, next, err := s.cfg.Events.Store().Dead(ctx, events.Sink{Tenant: in.Tenant, Name: in.Sink}, in.Cursor, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &deadList{}
	out.Body.Dead, out.Body.Cursor = []DeadLetter{}, next
	for _, l := range page {
		out.Body.Dead = append(out.Body.Dead, DeadLetter{Place: l.Place, ID: l.ID, Kind: l.Kind, Room: l.Room, User: l.User, At: l.At, Data: l.Data, Error: l.Error})
	}
	return out, nil
}

type moved struct{ Body Moved }

func (s *Server) retryDead(ctx context.Context, in *struct {
	InSink
	Body Places
}) (*moved, error) {
	if err := s.hasSink(ctx, in.InSink); err != nil {
		return nil, err
	}
	n, err := s.cfg.Events.Store().Retry(ctx, events.Sink{Tenant: in.Tenant, Name: in.Sink}, in.Body.Places)
	return s.moved(ctx, "dead letters retried", in.InSink, n, err)
}

func (s *Server) dropDead(ctx context.Context, in *struct {
	InSink
	Body Places
}) (*moved, error) {
	if err := s.hasSink(ctx, in.InSink); err != nil {
		return nil, err
	}
	n, err := s.cfg.Events.Store().Drop(ctx, events.Sink{Tenant: in.Tenant, Name: in.Sink}, in.Body.Places)
	return s.moved(ctx, "dead letters dropped", in.InSink, n, err)
}

func (s *Server) moved(ctx context.Context, what string, in InSink, n int, err error) (*moved, error) {
	if err != nil {
		return nil, s.faultOf(err)
	}
	s.log.Info(what, "tenant", in.Tenant, "sink", in.Sink, "events", n, "by", by(ctx))
	return &moved{Moved{n}}, nil
}

// erasure is a user whose events are removed.
type erasure struct {
	Tenant string `json:"tenant"`
	User   string `json:"user"`
}

func (s *Server) eraseEvents(ctx context.Context, in *struct {
	InTenant
	User string `path:"user" maxLength:"256" doc:"The user of a token, percent-encoded."`
}) (*moved, error) {
	nodes, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	n, q := 0, question{Ask: askErase, Erase: &erasure{in.Tenant, in.User}}
	var failed []string
	for i, r := range each(ctx, s, nodes, askTimeout, q, newReply[int]) { // each node may have events that it has not written yet
		n += r.value
		if r.err != nil {
			failed = append(failed, fmt.Sprintf("node %s (%v)", nodes[i], r.err))
		}
	}
	if len(failed) > 0 {
		return nil, fault(http.StatusGatewayTimeout, CodeOutcomeUnknown, "events of the user may still be on %s; %d events were removed from other nodes: repeat the request", strings.Join(failed, ", "), n)
	}
	s.log.Info("events of a user erased", "tenant", in.Tenant, "user", in.User, "events", n, "by", by(ctx))
	return &moved{Moved{n}}, nil
}
