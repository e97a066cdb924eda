package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
)

// InTenant is a tenant in the path of a request.
type InTenant struct {
	Tenant string `path:"tenant" maxLength:"63"`
}

// InRoom is a room in the path of a request.
type InRoom struct {
	InTenant
	Room string `path:"room" maxLength:"200" doc:"The name of the room, percent-encoded."`
}

func (r *InRoom) id() cluster.RoomID { return cluster.RoomID{Tenant: r.Tenant, Room: r.Room} }

// InMember is a member of a room in the path of a request.
type InMember struct {
	InRoom
	Connection string `path:"connection" maxLength:"128" doc:"The id of the connection."`
}

// Room is a room.
type Room struct {
	Name         string `json:"name"`
	MembersCount *int   `json:"membersCount,omitempty" doc:"Members on all nodes; in lists only with counts=true."`
}

type roomQuery struct {
	InTenant
	Prefix string `query:"prefix" maxLength:"200" doc:"Only rooms whose names begin with this."`
	Search string `query:"search" maxLength:"200" doc:"Only rooms whose names contain this, in upper or lower case."`
	Sort   string `query:"sort" enum:"name,members" default:"name" doc:"The order: members lists the rooms with most members first, with membersCount. Only the first 20,000 rooms by name are sorted; while members join and leave, a room may be on two pages or on none."`
	Counts bool   `query:"counts" doc:"Add membersCount."`
	Cursor string `query:"cursor" maxLength:"300" doc:"The cursor of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type roomList struct {
	Body struct {
		Rooms   []Room `json:"rooms" doc:"Sorted by the bytes of their names, if sort is not members."`
		Cursor  string `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
		Partial bool   `json:"partial,omitempty" doc:"With sort=members: the tenant has more rooms than are sorted."`
	}
}

type oneRoom struct {
	Status int
	Body   Room
}

// member is a member of a room.
type member struct {
	ID       string `json:"id" doc:"The id of the connection."`
	JoinedAt int64  `json:"joinedAt" format:"unix-ms"`
	User     string `json:"user,omitempty" doc:"The user of the connection; only in rooms with the setting users."`
}

type memberList struct {
	Body struct {
		Members      []member `json:"members"`
		MembersCount int      `json:"membersCount" doc:"Members on all pages."`
		UsersCount   *int     `json:"usersCount,omitempty" doc:"Different users of the members on all pages; only in rooms with the setting users."`
		Cursor       string   `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

type message struct {
	InRoom
	Body struct {
		Message json.RawMessage `json:"message" doc:"Any JSON value; a string is sent as text."`
		From    string          `json:"from,omitempty" maxLength:"128" doc:"The connection id of a member; none: the system, \"0\"."`
	}
}

type accepted struct {
	Body struct {
		ID string `json:"id,omitempty" doc:"The id of the message; missing in an ephemeral room."`
	}
}

const tenantPath = "/api/tenants/{tenant}"

func (s *Server) roomOperations() {
	const rooms, room = tenantPath + "/rooms", tenantPath + "/rooms/{room}"
	huma.Register(s.api, s.list("listRooms", rooms, "List the rooms of a tenant"), s.listRooms)
	huma.Register(s.api, s.operation("getRoom", http.MethodGet, room, 200, "Get a room"), s.getRoom)
	huma.Register(s.api, s.operation("createRoom", http.MethodPut, room, 201, "Create a room; 200 if it exists"), s.createRoom)
	huma.Register(s.api, s.operation("destroyRoom", http.MethodDelete, room, 204, "Delete a room; its members are notified and leave"), s.destroyRoom)
	huma.Register(s.api, s.list("listMembers", room+"/members", "List the members of a room"), s.listMembers)
	huma.Register(s.api, s.operation("addMember", http.MethodPut, room+"/members/{connection}", 204, "Add a connection to a room, through the rules of the room"), s.addMember)
	huma.Register(s.api, s.operation("removeMember", http.MethodDelete, room+"/members/{connection}", 204, "Remove a connection from a room"), s.removeMember)
	huma.Register(s.api, s.operation("broadcast", http.MethodPost, room+"/messages", 200, "Send a message to a room, through the rules of the room"), s.broadcast)
}

func (s *Server) getRoom(ctx context.Context, in *InRoom) (*oneRoom, error) {
	n, err := s.cfg.Engine.Members(ctx, in.id())
	return &oneRoom{http.StatusOK, Room{in.Room, &n}}, s.faultOf(err)
}

func (s *Server) createRoom(ctx context.Context, in *InRoom) (*oneRoom, error) {
	err := s.cfg.Engine.CreateRoom(ctx, in.id())
	if errors.Is(err, cluster.ErrRoomExists) {
		return s.getRoom(ctx, in)
	}
	return &oneRoom{http.StatusCreated, Room{in.Room, new(int)}}, s.faultOf(err)
}

func (s *Server) destroyRoom(ctx context.Context, in *InRoom) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.DestroyRoom(ctx, in.id()))
}

func (s *Server) listMembers(ctx context.Context, in *struct {
	InRoom
	Cursor string `query:"cursor" maxLength:"1000" doc:"The cursor of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*memberList, error) {
	status, err := s.cfg.Engine.RoomStatus(ctx, in.id(), in.Cursor, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &memberList{}
	out.Body.MembersCount, out.Body.Cursor, out.Body.Members = status.MembersCount, status.Cursor, []member{}
	if status.NamesUsers {
		out.Body.UsersCount = &status.UsersCount
	}
	for _, m := range status.Members {
		out.Body.Members = append(out.Body.Members, member{m.ID, m.JoinedAt, m.User})
	}
	return out, nil
}

func (s *Server) addMember(ctx context.Context, in *InMember) (*struct{}, error) {
	err := s.cfg.Engine.AddMember(ctx, in.id(), in.Connection)
	if engine.AlreadyMember(err) {
		return nil, nil
	}
	return nil, s.faultOf(err)
}

func (s *Server) removeMember(ctx context.Context, in *InMember) (*struct{}, error) {
	err := s.cfg.Engine.RemoveMember(ctx, in.id(), in.Connection)
	if engine.NotMember(err) {
		return nil, nil
	}
	return nil, s.faultOf(err)
}

func (s *Server) broadcast(ctx context.Context, in *message) (*accepted, error) {
	if err := s.exists(ctx, in.id()); err != nil {
		return nil, err
	}
	id, err := s.cfg.Engine.Broadcast(ctx, in.id(), in.Body.From, in.Body.Message)
	out := &accepted{}
	out.Body.ID = id
	return out, s.faultOf(err)
}

// exists returns a fault if the room does not exist.
func (s *Server) exists(ctx context.Context, id cluster.RoomID) error {
	ok, err := s.cfg.Engine.RoomExists(ctx, id)
	if err == nil && !ok {
		err = cluster.ErrNoRoom
	}
	return s.faultOf(err)
}
