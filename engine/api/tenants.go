package api

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
)

// Tenant is a tenant on all nodes.
type Tenant struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Rooms       int    `json:"rooms" doc:"Rooms that exist."`
	OutboxBytes int    `json:"outboxBytes" doc:"Bytes that wait for its connections."`
	Messages    uint64 `json:"messages" doc:"Messages that the nodes have published since their starts."`
	Held        Queue  `json:"held" doc:"Held messages that wait for a decision."`
	Reports     Queue  `json:"reports" doc:"Reports that wait for a decision."`
}

// Queue describes the held messages, or the reports, of a tenant that wait for a decision.
type Queue struct {
	Items int   `json:"items" doc:"Their number when a node last looked, which may be some moments ago."`
	Since int64 `json:"since,omitempty" format:"unix-ms" doc:"When the oldest of them came; missing: there is none."`
}

type tenantList struct {
	Body struct {
		Tenants     []Tenant `json:"tenants" doc:"The tenants that the key reaches, as configured on the node that answers."`
		Cursor      string   `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
		Unreachable []string `json:"unreachable,omitempty" doc:"Nodes that did not answer: their connections are not counted."`
	}
}

type oneTenant struct{ Body Tenant }

func (s *Server) tenantOperations() {
	list := s.list("listTenants", "/api/tenants", "List the tenants")
	list.Metadata[forEveryKey] = true
	huma.Register(s.api, list, s.listTenants)
	huma.Register(s.api, s.operation("getTenant", http.MethodGet, tenantPath, 200, "Get a tenant"), s.getTenant)
}

// tenantQuery selects a page of tenants, sorted by name.
type tenantQuery struct {
	Tenants []string `query:"tenants" maxItems:"100" doc:"Only the tenants with these names, separated by commas."`
	Search  string   `query:"search" maxLength:"63" doc:"Only tenants whose names contain this."`
	Cursor  string   `query:"cursor" maxLength:"63" doc:"The cursor of the page before; none: the first page."`
	Limit   int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Number of tenants."`
}

// selected returns the names of the tenants of a page, sorted, and the cursor of the next page. Tenants are selected among
// those of own; nil: all.
func (s *Server) selected(own []string, q *tenantQuery) (names []string, cursor string) {
	switch {
	case len(own) > 0:
		names = slices.Clone(own)
	case len(q.Tenants) > 0:
		names = slices.Compact(slices.Sorted(slices.Values(q.Tenants)))
	default:
		var more bool
		if names, more = s.cfg.Engine.TenantNames(q.Search, q.Cursor, q.Limit); more {
			cursor = names[len(names)-1]
		}
		return names, cursor
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return !strings.Contains(name, q.Search) || len(q.Tenants) > 0 && !slices.Contains(q.Tenants, name) || !s.cfg.Engine.HasTenant(name)
	})
	if len(own) > 0 {
		return pageOf(names, q)
	}
	return names, ""
}

// pageOf returns the page of sorted names that a query selects, and the cursor of the next page.
func pageOf(names []string, q *tenantQuery) (page []string, cursor string) {
	i, found := slices.BinarySearch(names, q.Cursor)
	if found {
		i++
	}
	if page = names[i:]; len(page) > q.Limit {
		page = page[:q.Limit]
		cursor = page[q.Limit-1]
	}
	return page, cursor
}

// sortedTenants is a tenantQuery with an order. huma finds no parameters in an embedded type that is not exported.
type sortedTenants struct {
	Tenants []string `query:"tenants" maxItems:"100" doc:"Only the tenants with these names, separated by commas."`
	Search  string   `query:"search" maxLength:"63" doc:"Only tenants whose names contain this."`
	Cursor  string   `query:"cursor" maxLength:"63" doc:"The cursor of the page before; none: the first page."`
	Limit   int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Number of tenants."`
	Sort    string   `query:"sort" enum:"name,connections,rooms,outboxBytes,messages" default:"name" doc:"The order; other than name: the largest first. An order other than name reads the numbers of all tenants; while they change, a tenant may be on two pages or on none."`
}

// order returns the number by which tenants are sorted.
func (q *sortedTenants) order(t *Tenant) uint64 {
	switch q.Sort {
	case "connections":
		return uint64(t.Connections)
	case "rooms":
		return uint64(t.Rooms)
	case "outboxBytes":
		return uint64(t.OutboxBytes)
	}
	return t.Messages
}

func (s *Server) listTenants(ctx context.Context, in *sortedTenants) (*tenantList, error) {
	if in.Sort != "name" {
		return s.largestTenants(ctx, in)
	}
	names, cursor := s.selected(keyIn(ctx).tenants, &tenantQuery{in.Tenants, in.Search, in.Cursor, in.Limit})
	tenants, lost, err := s.tenants(ctx, names)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &tenantList{}
	out.Body.Tenants, out.Body.Unreachable, out.Body.Cursor = tenants, lost, cursor
	return out, nil
}

// largestTenants returns a page of the tenants in an order other than by name. The cursor is the number of tenants
// before the page.
func (s *Server) largestTenants(ctx context.Context, in *sortedTenants) (*tenantList, error) {
	from, err := strconv.Atoi(cmp.Or(in.Cursor, "0"))
	if err != nil || from < 0 {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not a cursor of sort=%s: use the cursor of the page before", in.Sort)
	}
	names, _ := s.selected(keyIn(ctx).tenants, &tenantQuery{Tenants: in.Tenants, Search: in.Search, Limit: math.MaxInt})
	all, lost, err := s.tenants(ctx, names)
	if err != nil {
		return nil, s.faultOf(err)
	}
	slices.SortStableFunc(all, func(a, b Tenant) int { return cmp.Compare(in.order(&b), in.order(&a)) })
	out := &tenantList{}
	end := min(from+in.Limit, len(all))
	out.Body.Tenants, out.Body.Unreachable = all[min(from, end):end], lost
	if end < len(all) {
		out.Body.Cursor = strconv.Itoa(end)
	}
	return out, nil
}

func (s *Server) getTenant(ctx context.Context, in *InTenant) (*oneTenant, error) {
	tenants, _, err := s.tenants(ctx, []string{in.Tenant})
	if err == nil && len(tenants) == 0 {
		err = engine.ErrNoTenant
	}
	if err != nil {
		return nil, s.faultOf(err)
	}
	return &oneTenant{tenants[0]}, nil
}

// tenants returns the tenants with these names that this node has. It needs one round trip to the cluster for their
// rooms and one question to each node.
func (s *Server) tenants(ctx context.Context, of []string) (all []Tenant, lost []string, err error) {
	all, at := []Tenant{}, map[string]int{}
	for _, name := range of {
		if s.cfg.Engine.HasTenant(name) {
			at[name] = len(all)
			all = append(all, Tenant{Name: name})
		}
	}
	if len(all) == 0 {
		return all, nil, nil
	}
	names, err := s.cfg.Engine.Nodes(ctx)
	if err == nil {
		err = s.countRooms(ctx, all)
	}
	if err != nil {
		return nil, nil, err
	}
	for i, r := range each(ctx, s, names, askTimeout, question{Ask: askTenants, Tenants: of}, newReply[[]engine.TenantStats]) {
		if r.err != nil {
			lost = append(lost, names[i])
		}
		for _, t := range r.value {
			if i, ok := at[t.Name]; ok {
				all[i].Connections += t.Connections
				all[i].OutboxBytes += t.OutboxBytes
				all[i].Messages += t.Messages
				all[i].addQueue(&t)
			}
		}
	}
	return all, lost, nil
}

// addQueue adds the numbers of the review queue that a node has. Usually one node looks after a tenant; two may do so for a
// moment, and then have the same numbers.
func (t *Tenant) addQueue(of *engine.TenantStats) {
	if of.Held > t.Held.Items {
		t.Held = Queue{of.Held, of.HeldSince}
	}
	if of.Reports > t.Reports.Items {
		t.Reports = Queue{of.Reports, of.ReportsSince}
	}
}

// countRooms sets the number of rooms of the tenants.
func (s *Server) countRooms(ctx context.Context, tenants []Tenant) error {
	names := make([]string, len(tenants))
	for i, t := range tenants {
		names[i] = t.Name
	}
	counts, err := s.cfg.Engine.RoomCounts(ctx, names...)
	for i, n := range counts {
		tenants[i].Rooms = n
	}
	return err
}
