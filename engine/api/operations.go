package api

import "github.com/danielgtaylor/huma/v2"

// operations registers everything the API can do.
func (s *Server) operations() {
	s.api.UseMiddleware(within(s.api))
	s.nodeOperations()
	s.ruleOperations()
	s.decisionOperations()
}

// bodyBytes bounds the body of a request.
const bodyBytes = 1 << 20

// operation is one of the API's. Its id is its name in the document; status is
// that of success.
func operation(id, method, path string, status int, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, DefaultStatus: status, Summary: summary, MaxBodyBytes: bodyBytes}
}
