package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// InMessage is a message of a room in the path of a request.
type InMessage struct {
	InRoom
	Message string `path:"message" maxLength:"24" pattern:"^[A-Za-z0-9_-]+$" patternDescription:"the id of a message" doc:"The id of the message."`
}

func (s *Server) amendOperations() {
	const one = tenantPath + "/rooms/{room}/messages/{message}"
	huma.Register(s.api, s.operation("retractMessage", http.MethodDelete, one, 204,
		"Retract a message: it leaves the history of the room, and members who asked for amendments are told; also if the history does not have it"), s.retractMessage)
	huma.Register(s.api, s.operation("editMessage", http.MethodPut, one, 204,
		"Replace the text of a message of the history, through the rules of the room; 409 if the history does not have it"), s.editMessage)
}

// system is the name that members see if a request to amend a message has none. Messages of the system have it as sender.
const system = "0"

func (s *Server) retractMessage(ctx context.Context, in *struct {
	InMessage
	By string `query:"by" maxLength:"120" default:"0" doc:"Who retracts the message, for members."`
}) (*struct{}, error) {
	return nil, s.faultOf(s.cfg.Engine.RetractMessage(ctx, in.id(), in.Message, in.By))
}

func (s *Server) editMessage(ctx context.Context, in *struct {
	InMessage
	Body struct {
		Message json.RawMessage `json:"message" doc:"The new text: any JSON value; a string is sent as text."`
		By      string          `json:"by,omitempty" maxLength:"120" doc:"Who edits the message, for members; missing: the system, \"0\"."`
	}
}) (*struct{}, error) {
	by := in.Body.By
	if by == "" {
		by = system
	}
	return nil, s.faultOf(s.cfg.Engine.EditMessage(ctx, in.id(), in.InMessage.Message, by, in.Body.Message))
}
