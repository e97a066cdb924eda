package api

import (
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// operations registers all operations.
func (s *Server) operations() {
	s.api.UseMiddleware(s.within)
	s.keyOperations()
	s.nodeOperations()
	s.tenantOperations()
	s.roomOperations()
	s.amendOperations()
	s.storedOperations()
	s.connectionOperations()
	s.userOperations()
	s.sanctionOperations()
	s.heldOperations()
	s.eventOperations()
	s.reportOperations()
	s.deskOperations()
	s.moduleOperations()
	s.usageOperations()
	s.historyOperations()
	s.valueOperations()
	s.ruleOperations()
	s.decisionOperations()
	s.recordOperations()
	s.trialOperations()
}

// bodyBytes is the limit of the body of a request, in bytes.
const bodyBytes = 1 << 20

// operation returns an operation. The id is its name in the document; status is the HTTP status of success.
func (s *Server) operation(id, method, path string, status int, summary string) huma.Operation {
	faults := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Fault](), true, "Fault")
	return huma.Operation{
		OperationID: id, Method: method, Path: path, DefaultStatus: status, Summary: summary, MaxBodyBytes: bodyBytes,
		Responses: map[string]*huma.Response{
			"default": {Description: "Error", Content: map[string]*huma.MediaType{"application/json": {Schema: faults}}},
		},
	}
}

// list returns an operation that answers with pages or asks all nodes.
func (s *Server) list(id, path, summary string) huma.Operation {
	op := s.operation(id, http.MethodGet, path, http.StatusOK, summary)
	op.Description = paging
	op.Metadata = map[string]any{listing: true}
	return op
}

// paging describes all lists.
var paging = fmt.Sprintf("If the answer has a cursor, there is another page: request it with the cursor. A page may be shorter than limit, or empty, "+
	"although others follow. Items that exist from the first request to the last are on exactly one page; items that are added or removed in between may be on one. "+
	"A cursor does not expire, and stays valid when the item that it names is removed. A list counts as %d requests of the key, and at most %d run at once; "+
	"more are refused with 429 and Retry-After.", listingPrice, maxListings)
