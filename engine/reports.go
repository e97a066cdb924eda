package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/wire"
)

// A member reports a message of history, or a user. The report has a copy of the message as it was published, and another one as
// the say chain shows it to the first reporter. All reports of one message or user are one item of the review queue. A moderator
// dismisses it, retracts the message, or sets a sanction; see resolve.go.

const (
	reportFor     = 30 * 24 * time.Hour // time after which an undecided report expires
	reportTargets = 20                  // undecided reports of one user; of one address, for members without a user
)

var (
	errNoReported = &VerbError{"no such message in the history of the room: report its user"}
	errReportOwn  = &VerbError{"you cannot report yourself"}
	errReportAny  = &VerbError{"report takes room and id, or user"}
)

// reportStats counts reports on this node.
type reportStats struct {
	made, refused                           atomic.Uint64
	dismissed, retracted, sanctioned, ended atomic.Uint64
}

func (s *reportStats) snapshot() review.ReportStats {
	return review.ReportStats{Made: s.made.Load(), Refused: s.refused.Load(), Decided: map[review.Outcome]uint64{review.Dismissed: s.dismissed.Load(),
		review.Retracted: s.retracted.Load(), review.Sanctioned: s.sanctioned.Load(), review.Expired: s.ended.Load()}}
}

// reportLimits returns the current limits of the tenant's reports.
func (t *tenant) reportLimits() review.Limits {
	l := t.heldLimits()
	l.OfOwner = reportTargets
	return l
}

// report reports a message or a user.
func (c *Connection) report(ctx context.Context, r *wire.Request) (result, error) {
	e := c.engine
	reason := cmp.Or(r.Reason, r.Text)
	switch {
	case e.review == nil:
		return result{}, &VerbError{"this server takes no reports"}
	case (r.Target == "") == (r.User == ""), r.Target != "" && r.Room == "":
		return result{}, errReportAny
	case len(c.memberships()) == 0, r.Room != "" && !c.isIn(r.Room):
		return result{}, errNotIn(named(r))
	}
	if err := c.refusedBy(moderation.Mute, r.Room); err != nil {
		return result{}, err
	}
	p, now := c.profile.Load(), time.Now()
	one := review.Item{ID: review.NewID(now), Tenant: c.tenant.name, Kind: review.Report, State: review.Open, At: now.UnixMilli(), Until: now.Add(reportFor).UnixMilli(), Room: r.Room, User: r.User,
		Unique:    review.UniqueOf(review.Report, "user", r.User),
		Reporters: []review.Reporter{{User: p.User, Connection: p.ID, Address: p.RemoteIP, Reason: reason, At: now.UnixMilli(), Notify: r.Notify}}}
	if r.Target != "" {
		if err := c.addEvidence(ctx, &one, r.Target); err != nil {
			return result{}, err
		}
	}
	if err := one.Validate(); err != nil {
		return result{}, &VerbError{err.Error()}
	}
	if one.User != "" && one.User == p.User || one.User == "" && one.Connection == p.ID {
		return result{}, errReportOwn
	}
	return result{data: done}, e.addReport(ctx, c.tenant, one)
}

func (e *Engine) addReport(ctx context.Context, t *tenant, one review.Item) error {
	stored, fresh, err := review.AddReport(ctx, e.review, one, t.reportLimits())
	switch {
	case errors.Is(err, review.ErrFull), errors.Is(err, review.ErrFullBytes), errors.Is(err, review.ErrOwnerFull):
		e.stats.reports.refused.Add(1)
		return &VerbError{err.Error()}
	case err != nil:
		return unknownAsCluster(err)
	}
	if fresh {
		e.stats.reports.made.Add(1)
		e.log.Info("reported", "tenant", t.name, "report", stored.ID, "room", stored.Room, "message", stored.MessageID, "user", stored.User, "reports", stored.Reports)
	}
	if i := slices.IndexFunc(stored.Reporters, func(r review.Reporter) bool { return r.Same(&one.Reporters[0]) }); i >= 0 { // else it has too many to list them
		e.written(ctx, e.reportEvent(&stored, &stored.Reporters[i]))
	} else if fresh {
		e.written(ctx, e.reportEvent(&stored, &one.Reporters[0]))
	}
	return nil
}

// addEvidence copies the message with the id into a report: as it was published, and as the say chain shows it to the member now.
// If the chain hides the message from the member, the error is the same as for an unknown message.
func (c *Connection) addEvidence(ctx context.Context, one *review.Item, id string) error {
	m := c.membership(one.Room)
	if m == nil {
		return errNotIn(one.Room)
	}
	stored, read, err := c.engine.storedMessage(ctx, m, id)
	c.chargePage(read)
	if err != nil {
		return err
	}
	text := c.engine.historyText(ctx, m, storedAt{payload: stored}) // without a position, so that it can be parsed
	if ctx.Err() != nil {                                           // the chain was interrupted, so text is not valid
		return context.Cause(ctx)
	}
	p, err := wire.ParsePayload(stored)
	if err != nil || text == nil {
		return errNoReported
	}
	one.MessageID, one.Unique = id, review.UniqueOf(review.Report, "message", one.Room, id)
	one.Message, one.From, one.Context, one.SentAt, one.Extra, one.User, one.Connection = p.Message, p.From, p.Context, p.SentAt, p.Extra, p.User, p.From
	if shown, err := wire.ParsePayload(text); err == nil && (shown.Message != p.Message || shown.From != p.From || !bytes.Equal(shown.Extra, p.Extra)) {
		one.Shown = &review.Shown{Message: shown.Message, From: shown.From, Extra: shown.Extra}
	}
	if author := c.engine.profileOf(ctx, c.tenant.name, p.From); author != nil {
		one.User, one.Address = cmp.Or(one.User, author.User), author.RemoteIP
	}
	return nil
}

// profileTime is the time limit for the node of an author to answer.
const profileTime = time.Second

// profileOf returns the user and the address of a connection, which may be on another node; nil if it is gone.
func (e *Engine) profileOf(ctx context.Context, tenant, id string) *hook.Connection {
	if id == "" || id == system {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, profileTime)
	defer cancel()
	info, err := e.Connection(ctx, tenant, id)
	if err != nil {
		return nil
	}
	return &hook.Connection{User: info.User, RemoteIP: info.RemoteIP}
}

// storedMessage returns a message of the history of the member's room, and the number of bytes that it has read. It searches at
// least the last maxHistoryPage messages and amendments.
func (e *Engine) storedMessage(ctx context.Context, m *member, id string) (payload []byte, read int, err error) {
	t := m.conn.tenant
	h, keep := e.historyFor(t), t.settings(m.room.id.Room).Retention
	if keep.Messages == 0 {
		return nil, 0, errNoReported
	}
	page, err := h.Read(ctx, m.room.id, cluster.Position{}, 0, keep)
	if err != nil {
		return nil, 0, err
	}
	b := backward{h: h, room: m.room.id, keep: keep, epoch: page.Top.Epoch, end: page.Top.Offset}
	for b.read < maxHistoryPage {
		messages, err := b.next(ctx, t.cfg().Limits.OutboxBytes/4)
		if err != nil {
			return nil, b.bytes, err
		}
		if len(messages) == 0 {
			break
		}
		for _, k := range slices.Backward(messages) {
			if k.Amends != "" || !bytes.Contains(k.Payload, []byte(id)) {
				continue
			}
			if p, err := wire.ParsePayload(k.Payload); err == nil && p.ID == id {
				return k.Payload, b.bytes, nil
			}
		}
	}
	return nil, b.bytes, errNoReported
}
