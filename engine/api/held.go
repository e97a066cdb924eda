package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/review"
)

// HeldMessage is a message that a rule holds until a moderator decides about it.
type HeldMessage struct {
	ID         string          `json:"id"`
	State      review.State    `json:"state" enum:"open,deciding,decided" doc:"deciding: a node carries out the decision."`
	Outcome    review.Outcome  `json:"outcome" enum:"waiting,released,rejected,expired"`
	Room       string          `json:"room" doc:"The room in which the author said it."`
	To         string          `json:"to,omitempty" doc:"The room to which a rule has moved it; missing: room."`
	User       string          `json:"user,omitempty" doc:"The user of the author's token."`
	Connection string          `json:"connection" doc:"The connection of the author."`
	Address    string          `json:"address" doc:"The IP address of the author."`
	Message    json.RawMessage `json:"message" doc:"A text or a JSON value, as the rules before the one that held it have rewritten it."`
	From       string          `json:"from"`
	Extra      json.RawMessage `json:"extra,omitempty" doc:"What rules have added: an object."`
	SentAt     int64           `json:"sentAt" format:"unix-ms"`
	HeldAt     int64           `json:"heldAt" format:"unix-ms"`
	Until      int64           `json:"until,omitempty" format:"unix-ms" doc:"When an open message expires."`
	OnExpire   string          `json:"onExpire" enum:"reject,release" doc:"What happens to the message when it expires."`
	Rule       string          `json:"rule" doc:"The rule that held it: module@sha256#revision."`
	Reason     string          `json:"reason,omitempty" doc:"The reason of the rule, for moderators."`
	MessageID  string          `json:"messageId,omitempty" doc:"The id that the message has in the room once it is released, unless a rule moves it to another room at its release; missing in an ephemeral room."`
	Decision   *heldDecision   `json:"decision,omitempty"`
	Failure    string          `json:"failure,omitempty" doc:"Why the last release was refused."`
}

// heldDecision is the decision about a held message.
type heldDecision struct {
	Action review.Action `json:"action" enum:"release,reject,withdraw,expire"`
	By     string        `json:"by,omitempty" doc:"The name of the key; missing: the message has expired."`
	Reason string        `json:"reason,omitempty" doc:"For the author."`
	At     int64         `json:"at" format:"unix-ms"`
}

func heldOf(one review.Item) HeldMessage {
	h := HeldMessage{ID: one.ID, State: one.State, Outcome: one.Outcome(), Room: one.Said, User: one.User, Connection: one.Connection, Address: one.Address,
		Message: one.Message.Value(), From: one.From, Extra: one.Extra, SentAt: one.SentAt, HeldAt: one.At, Until: one.Until, OnExpire: "reject",
		Rule: one.Rule, Reason: one.Reason, MessageID: one.MessageID, Failure: one.Failure}
	if one.Room != one.Said {
		h.To = one.Room
	}
	if one.Release {
		h.OnExpire = "release"
	}
	if d := one.Decision; d != nil {
		h.Decision = &heldDecision{d.Action, d.By, d.Reason, d.At}
	}
	return h
}

type oneHeld struct{ Body HeldMessage }

type heldList struct {
	Body struct {
		Held   []HeldMessage `json:"held" doc:"The oldest first."`
		Cursor string        `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

// InHeld is a held message in the path of a request.
type InHeld struct {
	InTenant
	Held string `path:"held" maxLength:"64" doc:"The id of the held message."`
}

// HeldReason is the body of a request to release or reject a held message.
type HeldReason struct {
	Reason string `json:"reason,omitempty" maxLength:"256" doc:"For the author."`
}

func (s *Server) heldOperations() {
	const all, one = tenantPath + "/held", tenantPath + "/held/{held}"
	huma.Register(s.api, s.list("listHeld", all, "List the held messages of a tenant that wait for a decision, or those that were decided"), s.listHeld)
	huma.Register(s.api, s.operation("getHeld", http.MethodGet, one, 200, "Get a held message"), s.getHeld)
	release := s.operation("releaseHeld", http.MethodPost, one+"/release", 200, "Release a held message: the rules behind the one that held it decide about it, and it is published")
	release.Description = "409 decided: somebody has decided before; the message of the error says who and how. 409 refused: a rule, the room or a sanction of the author refuses the message, " +
		"which waits for a decision again. After 503 and 504 the decision stands, and a node carries it out when the cluster answers."
	huma.Register(s.api, release, s.releaseHeld)
	reject := s.operation("rejectHeld", http.MethodPost, one+"/reject", 200, "Reject a held message")
	reject.Description = "409 decided: somebody has decided before."
	huma.Register(s.api, reject, s.rejectHeld)
	huma.Register(s.api, s.operation("eraseReview", http.MethodDelete, tenantPath+"/users/{user}/review", 200, "Remove the held messages of a user, also decided ones, and the user from reports"), s.eraseReview)
}

// reviewQuery returns the query for a page of held messages or reports. The error is a fault.
func reviewQuery(decided bool, room, user, cursor string, limit int) (review.Query, error) {
	before, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return review.Query{}, fault(http.StatusUnprocessableEntity, CodeInvalid, "query.cursor is not a cursor: use the cursor of the page before")
	}
	q := review.Query{Decided: decided, Room: room, Cursor: string(before), Limit: limit}
	if user != "" {
		q.Subject = review.SubjectOfUser(user)
	}
	return q, nil
}

func (s *Server) listHeld(ctx context.Context, in *struct {
	InTenant
	Decided bool   `query:"decided" doc:"List the messages that were decided, as long as they are kept."`
	Room    string `query:"room" maxLength:"200" doc:"Only messages of this room."`
	User    string `query:"user" maxLength:"256" doc:"Only messages of this user."`
	Cursor  string `query:"cursor" maxLength:"500" doc:"The cursor of the page before; none: the first page."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*heldList, error) {
	q, err := reviewQuery(in.Decided, in.Room, in.User, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	page, next, err := s.cfg.Engine.HeldMessages(ctx, in.Tenant, q)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &heldList{}
	out.Body.Held = make([]HeldMessage, len(page))
	for i := range page {
		out.Body.Held[i] = heldOf(page[i])
	}
	out.Body.Cursor = base64.RawURLEncoding.EncodeToString([]byte(next))
	return out, nil
}

func (s *Server) getHeld(ctx context.Context, in *InHeld) (*oneHeld, error) {
	one, err := s.cfg.Engine.HeldMessage(ctx, in.Tenant, in.Held)
	if err != nil {
		return nil, s.heldFault(in, one, err)
	}
	return &oneHeld{heldOf(one)}, nil
}

func (s *Server) releaseHeld(ctx context.Context, in *struct {
	InHeld
	Body HeldReason
}) (*oneHeld, error) {
	return s.decideHeld(ctx, &in.InHeld, review.Release, in.Body.Reason)
}

func (s *Server) rejectHeld(ctx context.Context, in *struct {
	InHeld
	Body HeldReason
}) (*oneHeld, error) {
	return s.decideHeld(ctx, &in.InHeld, review.Reject, in.Body.Reason)
}

func (s *Server) decideHeld(ctx context.Context, in *InHeld, action review.Action, reason string) (*oneHeld, error) {
	one, err := s.cfg.Engine.DecideHeld(ctx, in.Tenant, in.Held, review.Decision{Action: action, By: by(ctx), Reason: reason})
	if err != nil {
		return nil, s.heldFault(in, one, err)
	}
	return &oneHeld{heldOf(one)}, nil
}

// heldFault returns the fault for an error about a held message.
func (s *Server) heldFault(in *InHeld, one review.Item, err error) error {
	switch {
	case errors.Is(err, review.ErrNone):
		return fault(http.StatusNotFound, CodeNotFound, "tenant %s has no held message %s, or it was removed", in.Tenant, in.Held)
	case isDecided(err) && one.Decision != nil:
		return fault(http.StatusConflict, CodeDecided, "held message %s was decided already at %s", in.Held, decisionText(one.Decision))
	}
	return s.faultOf(err)
}

// isDecided reports whether err is that of a decision that came second, or that another node has taken over.
func isDecided(err error) bool {
	return errors.Is(err, review.ErrDecided) || errors.Is(err, review.ErrConflict)
}

// decisionText returns the time of a decision, its action and the person who made it.
func decisionText(d *review.Decision) string {
	what := string(d.Action) + " by " + d.By
	switch d.Action {
	case review.Expire:
		what = "it has expired"
	case review.Withdraw:
		what = "its author has withdrawn it"
	}
	return time.UnixMilli(d.At).UTC().Format(time.RFC3339) + ": " + what
}

func (s *Server) eraseReview(ctx context.Context, in *inUser) (*struct {
	Body struct {
		Erased int `json:"erased" doc:"Number of items that were removed or changed."`
	}
}, error) {
	erased, err := s.cfg.Engine.EraseReview(ctx, in.Tenant, in.User)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &struct {
		Body struct {
			Erased int `json:"erased" doc:"Number of items that were removed or changed."`
		}
	}{}
	out.Body.Erased = erased
	return out, nil
}
