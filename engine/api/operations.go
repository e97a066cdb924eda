package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// operations registers everything the API can do.
func (s *Server) operations() {
	s.api.UseMiddleware(s.within)
	s.nodeOperations()
	s.tenantOperations()
	s.roomOperations()
	s.connectionOperations()
	s.moduleOperations()
	s.valueOperations()
	s.ruleOperations()
	s.decisionOperations()
	s.recordOperations()
	s.trialOperations()
}

// bodyBytes bounds the body of a request.
const bodyBytes = 1 << 20

// operation is one of the API's. Its id is its name in the document; status is
// that of success.
func (s *Server) operation(id, method, path string, status int, summary string) huma.Operation {
	faults := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Fault](), true, "Fault")
	return huma.Operation{
		OperationID: id, Method: method, Path: path, DefaultStatus: status, Summary: summary, MaxBodyBytes: bodyBytes,
		Responses: map[string]*huma.Response{
			"default": {Description: "What was wrong", Content: map[string]*huma.MediaType{"application/json": {Schema: faults}}},
		},
	}
}
