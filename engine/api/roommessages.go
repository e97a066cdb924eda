package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type storedList struct {
	Body struct {
		Messages []json.RawMessage `json:"messages" doc:"The oldest first; at most about 1 MiB. Each has message, from, sentAt, offset, epoch, id, and what rules have added; from \"0\" is the system."`
		Kept     bool              `json:"kept" doc:"The room keeps history."`
	}
}

func (s *Server) storedOperations() {
	op := s.operation("listMessages", http.MethodGet, tenantPath+"/rooms/{room}/messages", 200, "Get the last messages of the history of a room, as they were published")
	op.Metadata = map[string]any{listing: true}
	op.Description = "No rule is asked: the texts are those before the hook say. For older messages give the offset of the first one as beforeOffset."
	huma.Register(s.api, op, s.listMessages)
}

func (s *Server) listMessages(ctx context.Context, in *struct {
	InRoom
	Before uint64 `query:"beforeOffset" doc:"Only messages before this offset; 0: the last ones."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}) (*storedList, error) {
	stored, kept, err := s.cfg.Engine.StoredMessages(ctx, in.id(), in.Before, in.Limit)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &storedList{}
	out.Body.Messages, out.Body.Kept = append([]json.RawMessage{}, stored...), kept
	return out, nil
}
