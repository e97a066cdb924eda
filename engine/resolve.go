package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
)

// Reports returns a page of the reports of a tenant; see [review.Store]. It ignores q.Kind. Errors: review.ErrNoStore,
// ErrNoTenant, those of the store.
func (e *Engine) Reports(ctx context.Context, tenant string, q review.Query) (page []review.Item, next string, err error) {
	if _, err := e.reviewed(tenant); err != nil {
		return nil, "", err
	}
	q.Kind = review.Report
	return e.review.List(ctx, tenant, q)
}

// Report returns a report. The error is review.ErrNone if there is none.
func (e *Engine) Report(ctx context.Context, tenant, id string) (review.Item, error) {
	if _, err := e.reviewed(tenant); err != nil {
		return review.Item{}, err
	}
	one, err := e.review.Get(ctx, tenant, id)
	if err == nil && one.Kind != review.Report {
		err = review.ErrNone
	}
	return one, err
}

// ResolveReport carries out a decision about a report for the person d.By, and returns the report after the decision. A report
// that was decided can be decided again. s is the sanction for the action review.Sanction, without a subject: its subject is the
// reported user, or the author's address. Other actions ignore s. While another decision is carried out, the error is
// review.ErrDecided, and the report has that decision. If the action is refused, the error is a *VerbError or
// cluster.ErrNoRoom, and the report waits for a decision again.
func (e *Engine) ResolveReport(ctx context.Context, tenant, id string, d review.Decision, s moderation.Sanction) (review.Item, error) {
	t, err := e.reviewed(tenant)
	if err != nil {
		return review.Item{}, err
	}
	one, err := e.Report(ctx, tenant, id)
	if err != nil {
		return one, err
	}
	var with []byte
	switch d.Action {
	case review.Sanction:
		if with, err = sanctionFor(&one, s); err != nil {
			return one, err
		}
	case review.Retract:
		if one.MessageID == "" {
			return one, &VerbError{"the report is of a user, and not of a message"}
		}
	}
	d.Node = e.Self()
	one, err = review.Begin(ctx, e.review, tenant, id, d, t.reportLimits())
	if err == nil && with != nil {
		one, err = review.Prepare(ctx, e.review, one, "", with, t.reportLimits())
	}
	if err != nil {
		return one, unknownAsCluster(err)
	}
	return e.concludeReport(ctx, t, one)
}

// sanctionFor returns the sanction of the reported user, or of the author's address, as JSON.
func sanctionFor(one *review.Item, s moderation.Sanction) ([]byte, error) {
	s.Tenant, s.User, s.Network = one.Tenant, one.User, netip.Prefix{}
	if one.User == "" {
		network, err := moderation.ParseNetwork(one.Address, false)
		if err != nil {
			return nil, &VerbError{"the author has no user, and the address is not known: set a sanction by itself"}
		}
		s.Network = network
	}
	if err := s.Identify(); err != nil {
		return nil, &VerbError{err.Error()}
	}
	return json.Marshal(s)
}

// concludeReport carries out a decision that this node has begun or claimed. The actions are idempotent, because
// another node may have carried out the action before it died.
func (e *Engine) concludeReport(ctx context.Context, t *tenant, one review.Item) (review.Item, error) {
	ctx, cancel := e.completing(ctx, t)
	defer cancel()
	if err := e.carryOutReport(ctx, &one); err != nil {
		if !IsRefusal(err) || errors.Is(err, context.Canceled) {
			return one, err // a node carries it out again
		}
		again, reopened := review.Reopen(ctx, e.review, one, shortened(err.Error()), t.reportLimits())
		if reopened != nil {
			return one, unknownAsCluster(reopened)
		}
		return again, err
	}
	ended, err := review.End(ctx, e.review, one, t.reportLimits())
	if err != nil {
		return one, unknownAsCluster(err)
	}
	outcome := ended.Outcome()
	e.stats.reports.decided(outcome)
	e.log.Info("report decided", "tenant", t.name, "report", ended.ID, "room", ended.Room, "message", ended.MessageID, "user", ended.User, "outcome", string(outcome), "by", ended.Decision.By)
	e.written(ctx, e.resolvedEvent(&ended))
	e.informReporters(ctx, t, &ended)
	return ended, nil
}

func (e *Engine) carryOutReport(ctx context.Context, one *review.Item) error {
	switch d := one.Decision; d.Action {
	case review.Retract:
		return e.RetractMessage(ctx, cluster.RoomID{Tenant: one.Tenant, Room: one.Room}, one.MessageID, system) // members do not see who decides
	case review.Sanction:
		var s moderation.Sanction
		if err := json.Unmarshal(d.Payload, &s); err != nil { // the node that began the decision died before it stored the sanction
			return &VerbError{"the sanction was not stored: decide again"}
		}
		_, err := e.SetSanction(ctx, s)
		return err
	}
	return nil
}

func (s *reportStats) decided(o review.Outcome) {
	switch o {
	case review.Dismissed:
		s.dismissed.Add(1)
	case review.Retracted:
		s.retracted.Add(1)
	case review.Sanctioned:
		s.sanctioned.Add(1)
	default:
		s.ended.Add(1)
	}
}

// reportOutcome is the notice of the outcome to a reporter.
type reportOutcome struct {
	Context string         `json:"context"` // "moderation"
	Room    string         `json:"room,omitempty"`
	ID      string         `json:"id,omitempty"` // of the message
	User    string         `json:"user,omitempty"`
	Outcome review.Outcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
}

// informReporters sends the outcome to the connections of the reporters who asked for it. The notice of a report of a message
// does not name the author.
func (e *Engine) informReporters(ctx context.Context, t *tenant, one *review.Item) {
	notice := reportOutcome{Context: "moderation", Room: one.Room, ID: one.MessageID, Outcome: one.Outcome(), Reason: one.Decision.Reason}
	if one.MessageID == "" {
		notice.User = one.User
	}
	value, err := json.Marshal(notice)
	if err != nil {
		return // texts can be encoded
	}
	ctx, cancel := context.WithTimeout(ctx, informTime)
	defer cancel()
	for i := range one.Reporters {
		r := &one.Reporters[i]
		if !r.Notify {
			continue
		}
		if _, err := e.onEveryNode(ctx, call{Do: callOutcome, Tenant: t.name, User: r.User, Connection: r.Connection, Value: value}); err != nil {
			e.log.Debug("the outcome of a report did not reach a reporter on all nodes", "tenant", t.name, "report", one.ID, "error", err)
		}
	}
}
