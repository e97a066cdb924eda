package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// Limits of the moderators at desks.
const (
	visitTime      = 15 * time.Second // after which a visit that is not renewed ends
	visitsOfTenant = 50               // on one node; further visits are not shown to others
)

// Moderator is a page or a program with which a moderator works on the review queue of a tenant.
type Moderator struct {
	Name     string          `json:"name" doc:"The name of the key."`
	Visit    string          `json:"visit" doc:"The id of the visit: two pages with the same key differ in it."`
	Looking  string          `json:"looking,omitempty" doc:"The id of the held message or report that is open on the page."`
	IdleTime millis.Duration `json:"idleTime" format:"duration-ms" doc:"Since the last request of the visit."`
}

type moderatorList struct {
	Body struct {
		Moderators  []Moderator `json:"moderators" doc:"Sorted by name; without the visit of the request."`
		Unreachable []string    `json:"unreachable,omitempty" doc:"Nodes that did not answer: the moderators there are missing."`
	}
}

func (s *Server) deskOperations() {
	op := s.operation("listModerators", http.MethodGet, tenantPath+"/desk", 200, "List the moderators who work on the review queue of a tenant, and what each looks at")
	op.Description = "With visit the caller counts as one of them, on all nodes, until 15 s after the last such request. A node has at most 50 visits of a tenant. " +
		"A visit changes no data and is not logged. The request counts as a list."
	op.Metadata = map[string]any{listing: true}
	huma.Register(s.api, op, s.listModerators)
}

func (s *Server) listModerators(ctx context.Context, in *struct {
	InTenant
	Visit   string `query:"visit" maxLength:"64" pattern:"^[A-Za-z0-9_-]*$" doc:"An id that the page has chosen at random; missing: the caller is not shown to others."`
	Looking string `query:"looking" maxLength:"64" pattern:"^[A-Za-z0-9_-]*$" doc:"The id of the held message or report that the caller looks at; missing: none."`
}) (*moderatorList, error) {
	self := visitor{in.Tenant, keyIn(ctx).name, in.Visit}
	if in.Visit != "" {
		s.desks.visit(self, in.Looking)
	}
	names, err := s.cfg.Engine.Nodes(ctx)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &moderatorList{}
	var all []Moderator
	for i, of := range each(ctx, s, names, askTimeout, question{Ask: askDesk, Tenants: []string{in.Tenant}}, newReply[[]Moderator]) {
		if of.err != nil {
			out.Body.Unreachable = append(out.Body.Unreachable, names[i])
		}
		all = append(all, of.value...)
	}
	all = slices.DeleteFunc(all, func(m Moderator) bool { return m.Name == self.name && m.Visit == self.id })
	slices.SortFunc(all, func(a, b Moderator) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Visit, b.Visit), cmp.Compare(a.IdleTime, b.IdleTime))
	})
	// A page that has asked two nodes is on both: the later visit counts.
	all = slices.CompactFunc(all, func(a, b Moderator) bool { return a.Name == b.Name && a.Visit == b.Visit })
	out.Body.Moderators = append([]Moderator{}, all...)
	return out, nil
}

// visitor identifies a visit.
type visitor struct{ tenant, name, id string }

// visit is the last request of a visitor.
type visit struct {
	looking string
	at      time.Time
	end     *time.Timer
}

// desks has the visits to this node. Each ends by its own timer, and without visits desks is empty. The methods may be called
// concurrently.
type desks struct {
	mu      sync.Mutex
	tenants map[string]map[visitor]*visit // nil: no visits
}

// visit begins or renews a visit.
func (d *desks) visit(who visitor, looking string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	of := d.tenants[who.tenant]
	v := of[who]
	if v == nil {
		if len(of) >= visitsOfTenant {
			return
		}
		v = &visit{}
		if of == nil {
			of = map[visitor]*visit{}
			if d.tenants == nil {
				d.tenants = map[string]map[visitor]*visit{}
			}
			d.tenants[who.tenant] = of
		}
		of[who] = v
	}
	v.looking, v.at = looking, time.Now() // before the timer starts: when it ends, expire must find that visitTime has passed
	if v.end == nil {
		v.end = time.AfterFunc(visitTime, func() { d.expire(who) })
	} else {
		v.end.Reset(visitTime)
	}
}

// expire ends a visit. If its last request is later than the timer expects, the timer runs again.
func (d *desks) expire(who visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	of := d.tenants[who.tenant]
	v := of[who]
	if v == nil {
		return
	}
	if left := visitTime - time.Since(v.at); left > 0 {
		v.end.Reset(left)
		return
	}
	delete(of, who)
	if len(of) == 0 {
		delete(d.tenants, who.tenant)
	}
}

// here returns the moderators at the desks of these tenants on this node.
func (d *desks) here(tenants []string) []Moderator {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []Moderator{}
	for _, tenant := range tenants {
		for who, v := range d.tenants[tenant] {
			all = append(all, Moderator{Name: who.name, Visit: who.id, Looking: v.looking, IdleTime: millis.DurationOf(time.Since(v.at))})
		}
	}
	return all
}
