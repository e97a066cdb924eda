package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/moderation"
)

// Sanction is a sanction of a user or an address of a tenant. User or Address is set.
type Sanction struct {
	ID      string          `json:"id"`
	User    string          `json:"user,omitempty" doc:"The user of a token."`
	Address string          `json:"address,omitempty" doc:"A network, such as 192.0.2.7/32 or 2001:db8::/64."`
	Kind    moderation.Kind `json:"kind" enum:"mute,shadow,ban"`
	Rooms   string          `json:"rooms" doc:"The pattern of the rooms in which the sanction holds; \"*\": all."`
	Until   int64           `json:"until,omitempty" format:"unix-ms" doc:"Missing: the sanction has no end."`
	Reason  string          `json:"reason,omitempty" doc:"For the user."`
	Note    string          `json:"note,omitempty" doc:"For moderators."`
	Module  string          `json:"module,omitempty" doc:"The module that set the sanction; missing: a person did."`
	By      string          `json:"by,omitempty" doc:"The key with which a person set the sanction."`
	At      int64           `json:"at" format:"unix-ms" doc:"When the sanction was set."`
}

func sanctionOf(s moderation.Sanction) Sanction {
	out := Sanction{ID: s.ID, User: s.User, Kind: s.Kind, Rooms: s.Rooms, Until: s.Until, Reason: s.Reason, Note: s.Note, Module: s.Module, By: s.By, At: s.At}
	if s.Network.IsValid() {
		out.Address = s.Network.String()
	}
	return out
}

// NewSanction is the request for a sanction. User or Address is set.
type NewSanction struct {
	User    string          `json:"user,omitempty" maxLength:"256" doc:"The user of a token."`
	Address string          `json:"address,omitempty" maxLength:"60" doc:"An address or a network. An IPv6 address stands for its /64."`
	Wide    bool            `json:"wide,omitempty" doc:"Accept a network of more than a /24, or of more than an IPv6 /48."`
	Kind    moderation.Kind `json:"kind" enum:"mute,shadow,ban" doc:"mute: messages are refused. shadow: messages reach only their author, who is not told. ban: the user leaves the rooms and cannot join them; in all rooms: connections are closed and refused."`
	Rooms   string          `json:"rooms,omitempty" maxLength:"400" doc:"The rooms in which the sanction holds: a name, in which one * may stand for any text; missing or \"*\": all."`
	TTL     millis.Duration `json:"ttl,omitempty" minimum:"0" maximum:"3153600000000" format:"duration-ms" doc:"The time until the sanction ends; missing or 0: it has no end."`
	Reason  string          `json:"reason,omitempty" maxLength:"256" doc:"For the user, in the error."`
	Note    string          `json:"note,omitempty" maxLength:"1024" doc:"For moderators."`
}

type oneSanction struct{ Body Sanction }

type sanctionList struct {
	Body struct {
		Sanctions []Sanction `json:"sanctions" doc:"Sorted by subject."`
		Cursor    string     `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

func (s *Server) sanctionOperations() {
	const all, one = tenantPath + "/sanctions", tenantPath + "/sanctions/{sanction}"
	huma.Register(s.api, s.list("listSanctions", all, "List the sanctions of a tenant, or of one user or address"), s.listSanctions)
	huma.Register(s.api, s.operation("setSanction", http.MethodPost, all, 200, "Mute or ban a user or an address; replaces the sanction of the same kind and rooms that a person has set"), s.setSanction)
	huma.Register(s.api, s.operation("removeSanction", http.MethodDelete, one, 204, "Remove a sanction; 404 if there is none"), s.removeSanction)
}

func (s *Server) listSanctions(ctx context.Context, in *struct {
	InTenant
	User    string `query:"user" maxLength:"256" doc:"Only the sanctions of this user."`
	Address string `query:"address" maxLength:"60" doc:"Only the sanctions of exactly this address or network."`
	Cursor  string `query:"cursor" maxLength:"500" doc:"The cursor of the page before; none: the first page."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*sanctionList, error) {
	cursor, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not a cursor: use the cursor of the page before")
	}
	q := moderation.Query{Cursor: string(cursor), Limit: in.Limit}
	switch {
	case in.User != "" && in.Address != "":
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query: give either user or address")
	case in.User != "":
		q.Subject = moderation.SubjectOfUser(in.User)
	case in.Address != "":
		network, err := moderation.ParseNetwork(in.Address, true)
		if err != nil {
			return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.address: %s", err)
		}
		q.Subject = moderation.SubjectOfNetwork(network)
	}
	page, next, err := s.cfg.Engine.Sanctions(ctx, in.Tenant, q)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &sanctionList{}
	out.Body.Sanctions = make([]Sanction, len(page))
	for i := range page {
		out.Body.Sanctions[i] = sanctionOf(page[i])
	}
	out.Body.Cursor = base64.RawURLEncoding.EncodeToString([]byte(next))
	return out, nil
}

func (s *Server) setSanction(ctx context.Context, in *struct {
	InTenant
	Body NewSanction
}) (*oneSanction, error) {
	b := &in.Body
	one := moderation.Sanction{Tenant: in.Tenant, User: b.User, Kind: b.Kind, Rooms: b.Rooms, Reason: b.Reason, Note: b.Note, By: by(ctx)}
	if one.Rooms == "" {
		one.Rooms = moderation.AllRooms
	}
	if b.TTL > 0 {
		one.Until = time.Now().Add(b.TTL.Std()).UnixMilli()
	}
	if b.Address != "" {
		var err error
		if one.Network, err = moderation.ParseNetwork(b.Address, b.Wide); err != nil {
			return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: %s", err)
		}
	}
	if err := one.Identify(); err != nil {
		return nil, fault(http.StatusUnprocessableEntity, CodeInvalid, "body: %s", err)
	}
	stored, err := s.cfg.Engine.SetSanction(ctx, one)
	if err != nil {
		return nil, s.faultOf(err)
	}
	return &oneSanction{sanctionOf(stored)}, nil
}

func (s *Server) removeSanction(ctx context.Context, in *struct {
	InTenant
	Sanction string `path:"sanction" maxLength:"64" doc:"The id of the sanction."`
}) (*struct{}, error) {
	removed, err := s.cfg.Engine.RemoveSanction(ctx, in.Tenant, in.Sanction, by(ctx))
	switch {
	case err != nil:
		return nil, s.faultOf(err)
	case !removed:
		return nil, fault(http.StatusNotFound, CodeNotFound, "tenant %s has no sanction %s, or it has ended", in.Tenant, in.Sanction)
	}
	return nil, nil
}

// by returns the name of the key of a request.
func by(ctx context.Context) string {
	if k := keyIn(ctx); k != nil {
		return k.name
	}
	return ""
}
