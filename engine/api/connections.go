package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
)

// InConnection is what names a connection.
type InConnection struct {
	InTenant
	Connection string `path:"connection" maxLength:"128" doc:"Its id."`
}

type connectionList struct {
	Body struct {
		Connections []engine.ConnectionInfo `json:"connections" doc:"Without their properties, node by node."`
		Cursor      string                  `json:"cursor,omitempty" doc:"Of the next page; missing at the end."`
		Unreachable []string                `json:"unreachable,omitempty" doc:"Nodes that did not answer: their connections are missing."`
	}
}

type oneConnection struct{ Body engine.ConnectionInfo }

func (s *Server) connectionOperations() {
	const all, one = tenantPath + "/connections", tenantPath + "/connections/{connection}"
	huma.Register(s.api, s.list("listConnections", all, "The tenant's connections, on all nodes"), s.listConnections)
	huma.Register(s.api, s.operation("getConnection", http.MethodGet, one, 200, "A connection, on whichever node it is"), s.getConnection)
	huma.Register(s.api, s.operation("disconnect", http.MethodDelete, one, 204, "Close a connection: its client does not come back by itself"), s.disconnect)
	huma.Register(s.api, s.operation("setProperties", http.MethodPatch, one+"/properties", 204, "Set properties of a connection, all or none"), s.setProperties)
	huma.Register(s.api, s.operation("sendMessage", http.MethodPost, one+"/messages", 204, "Send something to one connection"), s.sendMessage)
}

func (s *Server) listConnections(ctx context.Context, in *struct {
	InTenant
	Cursor string `query:"cursor" maxLength:"128" doc:"Of the page before; none: the first page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100"`
}) (*connectionList, error) {
	page, err := s.cfg.Engine.Connections(ctx, in.Tenant, in.Cursor, in.Limit)
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
	Body map[string]json.RawMessage `doc:"Values by name; null removes a property. Those that a token gave cannot be changed."`
}) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.SetProperties(ctx, in.Tenant, in.Connection, in.Body))
}

func (s *Server) sendMessage(ctx context.Context, in *struct {
	InConnection
	Body struct {
		Message json.RawMessage `json:"message" doc:"An object is sent as it is; without a context it gets \"api\". Anything else is the message of one from the system."`
	}
}) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.SendMessage(ctx, in.Tenant, in.Connection, in.Body.Message))
}
