package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/moderation"
)

// inUser is a user of a tenant in the path of a request.
type inUser struct {
	InTenant
	User string `path:"user" maxLength:"256" doc:"The user of a token, percent-encoded."`
}

// user is a user of a tenant.
type user struct {
	Connections []engine.ConnectionInfo `json:"connections" doc:"On all nodes, without properties; at most 200. Sessions that can be resumed and that no node holds come last, with an empty node."`
	More        bool                    `json:"more,omitempty" doc:"There are further connections: list them with connections?user=."`
	Rooms       []string                `json:"rooms" doc:"The rooms of these connections, sorted."`
	Sanctions   []Sanction              `json:"sanctions" doc:"Of the user, not of addresses; at most 1000."`
	Unreachable []string                `json:"unreachable,omitempty" doc:"Nodes that did not answer: their connections are missing."`
}

type oneUser struct{ Body user }

type reached struct{ Body engine.Reached }

func (s *Server) userOperations() {
	const one = tenantPath + "/users/{user}"
	huma.Register(s.api, s.operation("getUser", http.MethodGet, one, 200, "Get the connections, rooms and sanctions of a user; a user without connections has empty lists"), s.getUser)
	messages := s.operation("listUserMessages", http.MethodGet, one+"/messages", 200, "Get the last messages of a user in the rooms in which the user is, the latest first")
	messages.Metadata = map[string]any{listing: true}
	messages.Description = "The last 100 messages of at most 20 rooms that keep history are searched. In a room that does not name users (its setting users), only messages of the connections " +
		"that the user has now are found. No rule is asked: the texts are those before the hook say."
	huma.Register(s.api, messages, s.listUserMessages)
	huma.Register(s.api, s.operation("sendToUser", http.MethodPost, one+"/messages", 200, "Send a message to all connections of a user"), s.sendToUser)
	huma.Register(s.api, s.operation("disconnectUser", http.MethodDelete, one+"/connections", 200, "Close all connections of a user and end the sessions that could be resumed; the clients do not reconnect by themselves"), s.disconnectUser)
}

func (s *Server) getUser(ctx context.Context, in *inUser) (*oneUser, error) {
	status, err := s.cfg.Engine.User(ctx, in.Tenant, in.User)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &oneUser{user{append([]engine.ConnectionInfo{}, status.Connections...), status.More, status.Rooms, []Sanction{}, status.Lost}}
	sanctions, _, err := s.cfg.Engine.Sanctions(ctx, in.Tenant, moderation.Query{Subject: moderation.SubjectOfUser(in.User), Limit: 1000})
	if err != nil && !errors.Is(err, engine.ErrNoModeration) {
		return nil, s.faultOf(err)
	}
	for i := range sanctions {
		out.Body.Sanctions = append(out.Body.Sanctions, sanctionOf(sanctions[i]))
	}
	return out, nil
}

type userMessages struct {
	Body struct {
		Messages []json.RawMessage `json:"messages" doc:"As in listMessages; each has its room."`
		More     bool              `json:"more,omitempty" doc:"The user is in further rooms, which were not searched."`
	}
}

func (s *Server) listUserMessages(ctx context.Context, in *struct {
	InTenant
	User  string `path:"user" maxLength:"256" doc:"The user of a token, percent-encoded."`
	Room  string `query:"room" maxLength:"200" doc:"A room that is searched even if the user has left it; missing: none."`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}) (*userMessages, error) {
	found, more, err := s.cfg.Engine.UserMessages(ctx, in.Tenant, in.User, in.Room, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &userMessages{}
	out.Body.Messages, out.Body.More = append([]json.RawMessage{}, found...), more
	return out, nil
}

func (s *Server) sendToUser(ctx context.Context, in *struct {
	InTenant
	User string `path:"user" maxLength:"256" doc:"The user of a token, percent-encoded."`
	Body struct {
		Message json.RawMessage `json:"message" doc:"An object is sent as it is, with the context \"api\" if it has none. Any other value is sent as the text of a system message."`
	}
}) (*reached, error) {
	r, err := s.cfg.Engine.SendToUser(ctx, in.Tenant, in.User, in.Body.Message)
	return &reached{r}, s.faultOf(err)
}

func (s *Server) disconnectUser(ctx context.Context, in *inUser) (*reached, error) {
	r, err := s.cfg.Engine.DisconnectUser(ctx, in.Tenant, in.User)
	return &reached{r}, s.faultOf(err)
}
