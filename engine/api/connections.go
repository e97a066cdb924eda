package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
)

// InConnection is a connection in the path of a request.
type InConnection struct {
	InTenant
	Connection string `path:"connection" maxLength:"128" doc:"The id of the connection."`
}

type connectionList struct {
	Body struct {
		Connections []engine.ConnectionInfo `json:"connections" doc:"Without properties, node by node."`
		Cursor      string                  `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
		Unreachable []string                `json:"unreachable,omitempty" doc:"Nodes that did not answer: their connections are missing."`
	}
}

type oneConnection struct{ Body engine.ConnectionInfo }

func (s *Server) connectionOperations() {
	const all, one = tenantPath + "/connections", tenantPath + "/connections/{connection}"
	huma.Register(s.api, s.list("listConnections", all, "List the connections of a tenant on all nodes"), s.listConnections)
	huma.Register(s.api, s.operation("getConnection", http.MethodGet, one, 200, "Get a connection of any node"), s.getConnection)
	huma.Register(s.api, s.operation("disconnect", http.MethodDelete, one, 204, "Close a connection and end its session; its client does not reconnect by itself"), s.disconnect)
	huma.Register(s.api, s.operation("setProperties", http.MethodPatch, one+"/properties", 204, "Set properties of a connection, all or none"), s.setProperties)
	huma.Register(s.api, s.operation("sendMessage", http.MethodPost, one+"/messages", 204, "Send a message to one connection"), s.sendMessage)
}

func (s *Server) listConnections(ctx context.Context, in *struct {
	InTenant
	User   string `query:"user" maxLength:"256" doc:"Only the connections of this user. Sessions that can be resumed and that no node holds come last, with an empty node."`
	Cursor string `query:"cursor" maxLength:"128" doc:"The cursor of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100"`
}) (*connectionList, error) {
	page, err := s.cfg.Engine.Connections(ctx, in.Tenant, engine.ConnectionQuery{User: in.User, Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &connectionList{}
	out.Body.Connections = append([]engine.ConnectionInfo{}, page.Connections...)
	out.Body.Cursor, out.Body.Unreachable = page.Cursor, page.Lost
	return out, nil
}

func (s *Server) getConnection(ctx context.Context, in *InConnection) (*oneConnection, error) {
	info, err := s.cfg.Engine.Connection(ctx, in.Tenant, in.Connection)
	return &oneConnection{info}, s.faultOf(err)
}

func (s *Server) disconnect(ctx context.Context, in *InConnection) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.Disconnect(ctx, in.Tenant, in.Connection))
}

func (s *Server) setProperties(ctx context.Context, in *struct {
	InConnection
	Body map[string]json.RawMessage `doc:"Values by name; null removes a property. Properties of a token cannot be changed."`
}) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.SetProperties(ctx, in.Tenant, in.Connection, in.Body))
}

func (s *Server) sendMessage(ctx context.Context, in *struct {
	InConnection
	Body struct {
		Message json.RawMessage `json:"message" doc:"An object is sent as it is, with the context \"api\" if it has none. Any other value is sent as the text of a system message."`
	}
}) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.SendMessage(ctx, in.Tenant, in.Connection, in.Body.Message))
}
