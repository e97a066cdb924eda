package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

// Report is a message or a user that members have reported. User, Connection and Address are those of the author of the
// message, or of the reported user.
type Report struct {
	ID         string          `json:"id"`
	State      review.State    `json:"state" enum:"open,deciding,decided" doc:"deciding: a node carries out the decision."`
	Outcome    review.Outcome  `json:"outcome" enum:"waiting,dismissed,retracted,sanctioned,expired"`
	Room       string          `json:"room,omitempty"`
	User       string          `json:"user,omitempty" doc:"Missing: the author has none, or it is not known."`
	Connection string          `json:"connection,omitempty"`
	Address    string          `json:"address,omitempty" doc:"Missing: the author had gone when the message was reported."`
	MessageID  string          `json:"messageId,omitempty" doc:"Missing: the report is of the user."`
	Message    json.RawMessage `json:"message,omitempty" doc:"A text or a JSON value, as it was published."`
	From       string          `json:"from,omitempty"`
	Extra      json.RawMessage `json:"extra,omitempty" doc:"What rules have added: an object."`
	SentAt     int64           `json:"sentAt,omitempty" format:"unix-ms"`
	Shown      *ReportedForm   `json:"shown,omitempty" doc:"The message as the first reporter received it; missing: as it was published."`
	Reports    int             `json:"reports" doc:"The number of reporters."`
	Reporters  []Reporter      `json:"reporters" doc:"The first 100."`
	ReportedAt int64           `json:"reportedAt" format:"unix-ms" doc:"When the first one reported it."`
	Until      int64           `json:"until,omitempty" format:"unix-ms" doc:"When an open report expires."`
	Decision   *ReportDecision `json:"decision,omitempty" doc:"Of an open report: the last one."`
	Failure    string          `json:"failure,omitempty" doc:"Why the last decision was not carried out."`
}

// ReportedForm is a reported message as a member received it.
type ReportedForm struct {
	Message json.RawMessage `json:"message"`
	From    string          `json:"from"`
	Extra   json.RawMessage `json:"extra,omitempty"`
}

// Reporter is a member who reported a message or a user. After an erasure of the user, At is left, and Connection is "erased".
type Reporter struct {
	User       string `json:"user,omitempty"`
	Connection string `json:"connection,omitempty"`
	Address    string `json:"address,omitempty"`
	Reason     string `json:"reason,omitempty"`
	At         int64  `json:"at" format:"unix-ms"`
}

// ReportDecision is the decision about a report.
type ReportDecision struct {
	Action review.Action `json:"action" enum:"dismiss,retract,sanction,expire"`
	By     string        `json:"by,omitempty" doc:"The name of the key; missing: the report has expired."`
	Reason string        `json:"reason,omitempty" doc:"For the reporters."`
	At     int64         `json:"at" format:"unix-ms"`
}

func reportOf(one review.Item) Report {
	r := Report{ID: one.ID, State: one.State, Outcome: one.Outcome(), Room: one.Room, User: one.User, Connection: one.Connection, Address: one.Address,
		MessageID: one.MessageID, From: one.From, Extra: one.Extra, SentAt: one.SentAt, Reports: one.Reports, ReportedAt: one.At, Until: one.Until, Failure: one.Failure}
	if one.MessageID != "" {
		r.Message = one.Message.Value()
	}
	if s := one.Shown; s != nil {
		r.Shown = &ReportedForm{s.Message.Value(), s.From, s.Extra}
	}
	for _, by := range one.Reporters {
		r.Reporters = append(r.Reporters, Reporter{by.User, by.Connection, by.Address, by.Reason, by.At})
	}
	if d := one.Decision; d != nil {
		r.Decision = &ReportDecision{d.Action, d.By, d.Reason, d.At}
	}
	return r
}

type oneReport struct{ Body Report }

type reportList struct {
	Body struct {
		Reports []Report `json:"reports" doc:"The oldest first."`
		Cursor  string   `json:"cursor,omitempty" doc:"The cursor of the next page; missing on the last one."`
	}
}

// InReport is a report in the path of a request.
type InReport struct {
	InTenant
	Report string `path:"report" maxLength:"64" doc:"The id of the report."`
}

// ReportReason is the body of a request to dismiss a report or to retract its message.
type ReportReason struct {
	Reason string `json:"reason,omitempty" maxLength:"256" doc:"For the reporters."`
}

// ReportSanction is the body of a request for a sanction of the reported user; if the author has no user, of the author's
// address.
type ReportSanction struct {
	Kind     moderation.Kind `json:"kind" enum:"mute,shadow,ban" doc:"See setSanction."`
	Rooms    string          `json:"rooms,omitempty" maxLength:"400" doc:"The rooms in which the sanction holds: a name, in which one * may stand for any text; missing or \"*\": all."`
	TTL      millis.Duration `json:"ttl,omitempty" minimum:"0" maximum:"3153600000000" format:"duration-ms" doc:"The time until the sanction ends; missing or 0: it has no end."`
	Reason   string          `json:"reason,omitempty" maxLength:"256" doc:"For the user, in the error."`
	Note     string          `json:"note,omitempty" maxLength:"1024" doc:"For moderators."`
	Reporter string          `json:"reporter,omitempty" maxLength:"256" doc:"For the reporters."`
}

func (s *Server) reportOperations() {
	const all, one = tenantPath + "/reports", tenantPath + "/reports/{report}"
	const decided = "409 decided: another decision is being carried out. A report that was decided may be decided again."
	huma.Register(s.api, s.list("listReports", all, "List the reports of a tenant that wait for a decision, or those that were decided"), s.listReports)
	huma.Register(s.api, s.operation("getReport", http.MethodGet, one, 200, "Get a report"), s.getReport)
	dismiss := s.operation("dismissReport", http.MethodPost, one+"/dismiss", 200, "Dismiss a report: nothing is done about the message or the user")
	dismiss.Description = decided
	huma.Register(s.api, dismiss, s.dismissReport)
	retract := s.operation("retractReport", http.MethodPost, one+"/retract", 200, "Retract the reported message")
	retract.Description = decided + " 409 refused: the message was not retracted, and the report waits for a decision again."
	huma.Register(s.api, retract, s.retractReport)
	sanction := s.operation("sanctionReport", http.MethodPost, one+"/sanction", 200, "Mute, shadow or ban the reported user, or the author of the reported message")
	sanction.Description = decided + " 409 refused: the sanction was not set, and the report waits for a decision again."
	huma.Register(s.api, sanction, s.sanctionReport)
}

func (s *Server) listReports(ctx context.Context, in *struct {
	InTenant
	Decided bool   `query:"decided" doc:"List the reports that were decided, as long as they are kept."`
	Room    string `query:"room" maxLength:"200" doc:"Only reports of this room."`
	User    string `query:"user" maxLength:"256" doc:"Only reports of this user and of the user's messages."`
	Cursor  string `query:"cursor" maxLength:"500" doc:"The cursor of the page before; none: the first page."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}) (*reportList, error) {
	q, err := reviewQuery(in.Decided, in.Room, in.User, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	page, next, err := s.cfg.Engine.Reports(ctx, in.Tenant, q)
	if err != nil {
		return nil, s.faultOf(err)
	}
	out := &reportList{}
	out.Body.Reports = make([]Report, len(page))
	for i := range page {
		out.Body.Reports[i] = reportOf(page[i])
	}
	out.Body.Cursor = base64.RawURLEncoding.EncodeToString([]byte(next))
	return out, nil
}

func (s *Server) getReport(ctx context.Context, in *InReport) (*oneReport, error) {
	one, err := s.cfg.Engine.Report(ctx, in.Tenant, in.Report)
	if err != nil {
		return nil, s.reportFault(in, one, err)
	}
	return &oneReport{reportOf(one)}, nil
}

func (s *Server) dismissReport(ctx context.Context, in *struct {
	InReport
	Body ReportReason
}) (*oneReport, error) {
	return s.resolveReport(ctx, &in.InReport, review.Dismiss, in.Body.Reason, moderation.Sanction{})
}

func (s *Server) retractReport(ctx context.Context, in *struct {
	InReport
	Body ReportReason
}) (*oneReport, error) {
	return s.resolveReport(ctx, &in.InReport, review.Retract, in.Body.Reason, moderation.Sanction{})
}

func (s *Server) sanctionReport(ctx context.Context, in *struct {
	InReport
	Body ReportSanction
}) (*oneReport, error) {
	b := &in.Body
	one := moderation.Sanction{Kind: b.Kind, Rooms: b.Rooms, Reason: b.Reason, Note: b.Note, By: by(ctx)}
	if one.Rooms == "" {
		one.Rooms = moderation.AllRooms
	}
	if b.TTL > 0 {
		one.Until = time.Now().Add(b.TTL.Std()).UnixMilli()
	}
	return s.resolveReport(ctx, &in.InReport, review.Sanction, b.Reporter, one)
}

func (s *Server) resolveReport(ctx context.Context, in *InReport, action review.Action, reason string, with moderation.Sanction) (*oneReport, error) {
	one, err := s.cfg.Engine.ResolveReport(ctx, in.Tenant, in.Report, review.Decision{Action: action, By: by(ctx), Reason: reason}, with)
	if err != nil {
		return nil, s.reportFault(in, one, err)
	}
	return &oneReport{reportOf(one)}, nil
}

// reportFault returns the fault for an error about a report.
func (s *Server) reportFault(in *InReport, one review.Item, err error) error {
	switch {
	case errors.Is(err, review.ErrNone):
		return fault(http.StatusNotFound, CodeNotFound, "tenant %s has no report %s, or it was removed", in.Tenant, in.Report)
	case isDecided(err) && one.Decision != nil:
		return fault(http.StatusConflict, CodeDecided, "a decision about report %s is being carried out: %s", in.Report, decisionText(one.Decision))
	}
	return s.faultOf(err)
}
