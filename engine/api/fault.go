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
)

// Fault is the one shape of an error: {"error":{"code","message"}}.
type Fault struct {
	Status int `json:"-"` // of HTTP
	What   struct {
		Code    string `json:"code" doc:"One word for programs." example:"no_room"`
		Message string `json:"message" doc:"For people: what was wrong, and what to do about it."`
	} `json:"error"`
}

// The codes of faults.
const (
	CodeInvalid        = "invalid"         // the request is not as the document says
	CodeUnauthorized   = "unauthorized"    // no key, or a wrong one
	CodeForbidden      = "forbidden"       // not with this key
	CodeWrongHost      = "wrong_host"      // Host names another server
	CodeCrossOrigin    = "cross_origin"    // a page of another origin asks
	CodeRateLimited    = "rate_limited"    // come back after Retry-After
	CodeTooLarge       = "too_large"       // the body
	CodeNoEndpoint     = "no_endpoint"     // the path or its method
	CodeNoTenant       = "no_tenant"       //
	CodeNoRoom         = "no_room"         //
	CodeNoConnection   = "no_connection"   // on no node
	CodeNoNode         = "no_node"         // it is not in the cluster
	CodeNotFound       = "not_found"       // what else is named is not there
	CodeExists         = "exists"          //
	CodeRefused        = "refused"         // by a rule of the server or of a module; the message says which
	CodeTimeout        = "timeout"         // the message names the node that did not answer
	CodeTryAgain       = "try_again"       // after Retry-After: a module fails too often and is not asked; nothing was done
	CodeUnavailable    = "unavailable"     // the cluster; nothing was done
	CodeOutcomeUnknown = "outcome_unknown" // it may have been done
	CodeInternal       = "internal"        // the log says more
)

func fault(status int, code, format string, args ...any) *Fault {
	f := &Fault{Status: status}
	f.What.Code, f.What.Message = code, fmt.Sprintf(format, args...)
	return f
}

var errNoEndpoint = fault(http.StatusNotFound, CodeNoEndpoint, "there is no such endpoint: /api/openapi.json has all of them")

// Error is the message.
func (f *Fault) Error() string { return f.What.Message }

// GetStatus is the status of HTTP.
func (f *Fault) GetStatus() int { return f.Status }

// kinds say what the engine's errors are to who asks.
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
	{cluster.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable},
	{cluster.ErrUnknown, http.StatusGatewayTimeout, CodeOutcomeUnknown},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, CodeTimeout},
}

// faultOf is what who asks is told of err; what it need not know is logged.
func (s *Server) faultOf(err error) error {
	if err == nil {
		return nil
	}
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f
	}
	if retry, ok := errors.AsType[*engine.RetryError](err); ok {
		after := http.Header{"Retry-After": {seconds(retry.Wait)}}
		return huma.ErrorWithHeaders(fault(http.StatusServiceUnavailable, CodeTryAgain, "%s: a module of the room's chain is not asked now", retry), after)
	}
	if verb := (*engine.VerbError)(nil); errors.As(err, &verb) {
		return fault(http.StatusConflict, CodeRefused, "%s", verb.Text)
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return fault(k.status, k.code, "%s", err)
		}
	}
	s.log.Error("server API", "error", err)
	return fault(http.StatusInternalServerError, CodeInternal, "internal error: the node's log says more")
}

// codes of the faults that come from HTTP itself.
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

// reshape gives the errors of request validation our shape.
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
		text.WriteString(e.Message) // not the value: it may be a secret, or long
	}
	return fault(model.Status, codeOf(model.Status), "%s", text.String()), nil
}

// write answers with a fault outside of the API's own operations.
func write(w http.ResponseWriter, f *Fault) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(f) // who asked may have gone
}
