package api

import (
	"fmt"
	"net/http"
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

// list is an operation that gives pages, or what all nodes say.
func (s *Server) list(id, path, summary string) huma.Operation {
	op := s.operation(id, http.MethodGet, path, http.StatusOK, summary)
	op.Description = paging
	op.Metadata = map[string]any{listing: true}
	return op
}

// paging is what holds for all lists.
var paging = fmt.Sprintf("A list that has a cursor goes on: ask again with it, until there is none. A page may be shorter than limit, even empty, "+
	"though others follow. What exists from the first page to the last is on exactly one of them; what comes or goes meanwhile may be on one. "+
	"A cursor does not end, also where what it names is removed. A list counts as %d requests of the key, %d may be under way at once; "+
	"more are answered with 429 and Retry-After.", ListingPrice, MostListings)
