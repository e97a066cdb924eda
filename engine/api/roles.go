package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Role is what a key may do. Each role may do all that the one before it may.
type Role string

// The roles.
const (
	viewer    Role = "viewer"    // see nodes, tenants, rooms and modules
	moderator Role = "moderator" // see connections, messages and decisions; remove people, set sanctions, retract and edit messages, decide about held messages and reports
	author    Role = "author"    // of rules: try and record modules, and change what they store
	operator  Role = "operator"  // everything
)

// rank orders the roles; an unknown role is below all.
func (r Role) rank() int {
	switch r {
	case viewer:
		return 1
	case moderator:
		return 2
	case author:
		return 3
	case operator:
		return 4
	}
	return 0
}

// leastRoles has the least role that each operation needs. Addresses of clients, decisions, which may have texts of
// messages, and notes about people need a moderator. A message can have any sender, so it needs an operator.
var leastRoles = map[string]Role{
	"getKey":            viewer,
	"listNodes":         viewer,
	"listTenants":       viewer,
	"getTenant":         viewer,
	"listRooms":         viewer,
	"getRoom":           viewer,
	"listMembers":       viewer,
	"listModules":       viewer,
	"listTenantModules": viewer,
	"getUsage":          viewer,
	"getHistory":        viewer,

	"listConnections":     moderator,
	"getConnection":       moderator,
	"disconnect":          moderator,
	"removeMember":        moderator,
	"listMessages":        moderator,
	"retractMessage":      moderator,
	"getUser":             moderator,
	"disconnectUser":      moderator,
	"listSanctions":       moderator,
	"setSanction":         moderator,
	"removeSanction":      moderator,
	"listHeld":            moderator,
	"getHeld":             moderator,
	"releaseHeld":         moderator,
	"rejectHeld":          moderator,
	"listReports":         moderator,
	"getReport":           moderator,
	"dismissReport":       moderator,
	"retractReport":       moderator,
	"sanctionReport":      moderator,
	"listModerators":      moderator,
	"listUserMessages":    moderator,
	"listDecisions":       moderator,
	"listTenantDecisions": moderator,

	"listKeys":    author,
	"getValue":    author,
	"setValue":    author,
	"deleteValue": author,
	"tryModule":   author,
	"record":      author,

	"listSinks":        operator,
	"testSink":         operator,
	"listDeadLetters":  operator,
	"retryDeadLetters": operator,
	"dropDeadLetters":  operator,
	"eraseUserEvents":  operator,

	"createRoom":    operator,
	"destroyRoom":   operator,
	"addMember":     operator,
	"broadcast":     operator,
	"editMessage":   operator,
	"sendMessage":   operator,
	"sendToUser":    operator,
	"setProperties": operator,
	"eraseReview":   operator,
	"reload":        operator,
	"rollback":      operator,
}

// leastRole returns the least role of an operation. One without a role needs an operator.
func leastRole(operation string) Role {
	if role, ok := leastRoles[operation]; ok {
		return role
	}
	return operator
}

// showRole adds the least role of an operation to the OpenAPI document.
func showRole(_ *huma.OpenAPI, op *huma.Operation) {
	role := leastRole(op.OperationID)
	if op.Description != "" {
		op.Description += " "
	}
	op.Description += "Needs the role " + string(role) + "."
	if op.Extensions == nil {
		op.Extensions = map[string]any{}
	}
	op.Extensions["x-role"] = string(role)
}

// keyInfo is a key, without its text.
type keyInfo struct {
	Name    string   `json:"name"`
	Role    Role     `json:"role" enum:"viewer,moderator,author,operator"`
	Tenants []string `json:"tenants,omitempty" doc:"The tenants that the key reaches; missing: all tenants, and operations of no tenant."`
}

type oneKey struct{ Body keyInfo }

func (s *Server) keyOperations() {
	op := s.operation("getKey", http.MethodGet, "/api/key", 200, "Get the name, the role and the tenants of the key of the request")
	op.Metadata = map[string]any{forEveryKey: true}
	huma.Register(s.api, op, func(ctx context.Context, _ *struct{}) (*oneKey, error) {
		k := keyIn(ctx)
		return &oneKey{keyInfo{k.name, k.role, k.tenants}}, nil
	})
}
