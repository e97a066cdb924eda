package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

// Fault is an error of the API: {"error":{"code","message"}}.
type Fault struct {
	Status int `json:"-"` // of HTTP
	What   struct {
		Code    string `json:"code" doc:"For programs." example:"no_room"`
		Message string `json:"message" doc:"For people: what failed, and what to do."`
	} `json:"error"`
}

// The codes of faults.
const (
	CodeInvalid        = "invalid"         // the request does not match the OpenAPI document
	CodeUnauthorized   = "unauthorized"    // no key, or a wrong one
	CodeForbidden      = "forbidden"       // the key does not reach the resource
	CodeWrongHost      = "wrong_host"      // Host is not in admin.hosts
	CodeCrossOrigin    = "cross_origin"    // the request is from a page of another origin
	CodeRateLimited    = "rate_limited"    // try again after Retry-After
	CodeTooLarge       = "too_large"       // the body of the request
	CodeNoEndpoint     = "no_endpoint"     // no such path, or not with this method
	CodeNoTenant       = "no_tenant"       // no such tenant
	CodeNoRoom         = "no_room"         // no such room
	CodeNoConnection   = "no_connection"   // no node has the connection
	CodeNoNode         = "no_node"         // no such node in the cluster
	CodeNotFound       = "not_found"       // another thing that the request names does not exist
	CodeExists         = "exists"          // the room exists
	CodeDecided        = "decided"         // another decision about the held message or the report came first; the message says which
	CodeRefused        = "refused"         // by a rule or a limit, which the message names
	CodeTimeout        = "timeout"         // a node did not answer; the message names it
	CodeTryAgain       = "try_again"       // the breaker of a module is open; nothing was done; try again after Retry-After
	CodeUnavailable    = "unavailable"     // the cluster or a store does not answer, or the disk of data takes no change; nothing was done
	CodeOutcomeUnknown = "outcome_unknown" // the operation may have been carried out
	CodeInternal       = "internal"        // the log has the reason
)

func fault(status int, code, format string, args ...any) *Fault {
	f := &Fault{Status: status}
	f.What.Code, f.What.Message = code, fmt.Sprintf(format, args...)
	return f
}

var errNoEndpoint = fault(http.StatusNotFound, CodeNoEndpoint, "no such endpoint: see /api/openapi.json")

// Error returns the message.
func (f *Fault) Error() string { return f.What.Message }

// GetStatus returns the HTTP status.
func (f *Fault) GetStatus() int { return f.Status }

// kinds maps errors of the engine and the cluster to faults.
var kinds = []struct {
	err    error
	status int
	code   string
}{
	{engine.ErrNoTenant, http.StatusNotFound, CodeNoTenant},
	{engine.ErrNoConnection, http.StatusNotFound, CodeNoConnection},
	{cluster.ErrNoRoom, http.StatusNotFound, CodeNoRoom},
	{cluster.ErrRoomExists, http.StatusConflict, CodeExists},
	{cluster.ErrCursor, http.StatusUnprocessableEntity, CodeInvalid},
	{cluster.ErrNoNode, http.StatusNotFound, CodeNoNode},
	{engine.ErrNoModeration, http.StatusNotImplemented, CodeUnavailable},
	{review.ErrNoStore, http.StatusNotImplemented, CodeUnavailable},
	{cluster.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable},
	{review.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable},
	{moderation.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable},
	{cluster.ErrUnknown, http.StatusGatewayTimeout, CodeOutcomeUnknown},
	{moderation.ErrUnknown, http.StatusGatewayTimeout, CodeOutcomeUnknown},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, CodeTimeout},
}

// faultOf returns the fault of an error. It logs errors that clients must not see.
func (s *Server) faultOf(err error) error {
	if err == nil {
		return nil
	}
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f
	}
	if retry, ok := errors.AsType[*engine.RetryError](err); ok {
		after := http.Header{"Retry-After": {seconds(retry.Wait)}}
		if retry.Text != "" {
			return huma.ErrorWithHeaders(fault(http.StatusConflict, CodeRefused, "%s", retry), after)
		}
		return huma.ErrorWithHeaders(fault(http.StatusServiceUnavailable, CodeTryAgain, "%s: the breaker of a module in the chain of the room is open", retry), after)
	}
	if verb := (*engine.VerbError)(nil); errors.As(err, &verb) {
		return fault(http.StatusConflict, CodeRefused, "%s", verb.Text)
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return fault(k.status, k.code, "%s", err)
		}
	}
	s.log.Error("request of the server API failed", "error", err)
	return fault(http.StatusInternalServerError, CodeInternal, "internal error: see the log of the node")
}

// codeOf returns the code for an error that has only an HTTP status.
func codeOf(status int) string {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return CodeNoEndpoint
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case http.StatusInternalServerError:
		return CodeInternal
	case http.StatusRequestTimeout:
		return CodeTimeout
	}
	return CodeInvalid
}

// reshape turns errors of request validation into faults.
func reshape(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	ctx.SetHeader("Content-Type", "application/json")
	var text strings.Builder
	text.WriteString(model.Detail)
	for i, e := range model.Errors {
		if i == 5 {
			fmt.Fprintf(&text, "; and %d more", len(model.Errors)-i)
			break
		}
		text.WriteString(map[bool]string{true: ": ", false: "; "}[i == 0])
		if e.Location != "" {
			text.WriteString(e.Location + " ")
		}
		text.WriteString(e.Message) // not the value, which may be a secret or long
	}
	return fault(model.Status, codeOf(model.Status), "%s", text.String()), nil
}

// write answers a request outside the operations of the API with the fault.
func write(w http.ResponseWriter, f *Fault) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f) // the client may have gone
}
