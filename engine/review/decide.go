package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lease is the time that a node has to carry out a decision. Another node then takes the item over.
const lease = 15 * time.Second

// TimeOf returns the time of an ID of [NewID], and the zero time for another text.
func TimeOf(id string) time.Time {
	if len(id) != 20 {
		return time.Time{}
	}
	ms := int64(0)
	for _, c := range []byte(id[:10]) {
		digit := strings.IndexByte("0123456789abcdefghijklmnopqrstuv", c)
		if digit < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(digit)
	}
	return time.UnixMilli(ms)
}

// Hold adds a held message, which becomes open. If a message with the same Unique waits for a decision, Hold returns that one
// instead, and added is false. Errors: those of [Store.Put] but ErrExists.
func Hold(ctx context.Context, s Store, one Item, limits Limits) (stored Item, added bool, err error) {
	one.Kind, one.State, one.Due = Held, Open, one.Until
	stored, err = s.Put(ctx, one, limits)
	if errors.Is(err, ErrExists) {
		return stored, false, nil
	}
	return stored, err == nil, err
}

// Begin gives the decision about an open item to the node d.Node, which carries it out and calls [End] or [Reopen] within 15
// seconds. Of several callers, on several nodes, one succeeds. The others receive ErrDecided with the item, whose Decision is
// the first one. A report that was decided can be decided again. Errors: ErrNone, ErrDecided, ErrUnknown.
func Begin(ctx context.Context, s Store, tenant, id string, d Decision, limits Limits) (Item, error) {
	return update(ctx, s, tenant, id, limits, func(one *Item) error {
		if err := d.Action.check(one); err != nil {
			return err
		}
		if one.State == Deciding || one.State == Decided && one.Kind == Held {
			return ErrDecided
		}
		one.begin(d, time.Now())
		return nil
	})
}

func (i *Item) begin(d Decision, now time.Time) {
	d.At, d.To, d.Payload = now.UnixMilli(), "", nil
	i.State, i.Decision, i.Failure, i.Due = Deciding, &d, "", now.Add(lease).UnixMilli()
}

// check reports whether the action is one for the item. The text of an error is for users.
func (a Action) check(one *Item) error {
	of := map[Kind][]Action{Held: {Release, Reject, Withdraw}, Report: {Dismiss, Retract, Sanction}}[one.Kind]
	if !slices.Contains(of, a) {
		return fmt.Errorf("%.40q is not an action for the item: use %s, %s or %s", string(a), of[0], of[1], of[2])
	}
	return nil
}

// Claim gives an item of [Store.Due] to a node: one that has expired, or one whose node has not carried out its decision in
// time. The Decision of the result says what to do: Expire for the former. Of several nodes one succeeds. The others receive
// ErrConflict, and so does a caller for an item that is not due. Errors: ErrNone, ErrConflict, ErrUnknown.
func Claim(ctx context.Context, s Store, one Item, node string, limits Limits) (Item, error) {
	now := time.Now()
	if one.Due == 0 || one.Due > now.UnixMilli() {
		return one, ErrConflict
	}
	switch one.State {
	case Open:
		one.begin(Decision{Action: Expire, Node: node}, now)
	case Deciding:
		again := *one.Decision
		again.Node = node
		one.Decision, one.Due = &again, now.Add(lease).UnixMilli()
	default:
		return one, ErrConflict
	}
	return s.Put(ctx, one, limits)
}

// Prepare records the room and the payload of a release before it is published, so that a node that repeats the release
// publishes the same without asking the chain again. The node has 15 seconds from now. one is the result of Begin or Claim.
// Errors: ErrNone, ErrConflict if another node has the item now, ErrUnknown.
func Prepare(ctx context.Context, s Store, one Item, to string, payload []byte, limits Limits) (Item, error) {
	return settle(ctx, s, one, limits, func(one *Item) {
		one.Decision.To, one.Decision.Payload, one.Due = to, payload, time.Now().Add(lease).UnixMilli()
	})
}

// End records that the decision was carried out. one is the result of Begin, Claim or Prepare. Errors: ErrNone, ErrConflict
// if another node has the item now, which then ends it; ErrUnknown.
func End(ctx context.Context, s Store, one Item, limits Limits) (Item, error) {
	return settle(ctx, s, one, limits, func(one *Item) {
		one.State, one.Decision.Payload = Decided, nil
		one.Due = time.Now().Add(limits.WithDefaults().Retention).UnixMilli()
		if one.Kind == Held {
			one.Unique = "" // a message with the same key is a new one
		}
	})
}

// Reopen records that the decision was not carried out and why, in a text for moderators. The item is open again. An item
// that has expired meanwhile is due at once: use [End] if the failure is final. Errors: those of End.
func Reopen(ctx context.Context, s Store, one Item, why string, limits Limits) (Item, error) {
	return settle(ctx, s, one, limits, func(one *Item) {
		one.State, one.Decision, one.Failure, one.Due = Open, nil, why, one.Until
	})
}

// settle changes an item of which this node carries out the decision. one may be older than a report that was added to the
// item meanwhile.
func settle(ctx context.Context, s Store, one Item, limits Limits, f func(*Item)) (Item, error) {
	for mine := *one.Decision; ; {
		next, d := one, *one.Decision
		next.Decision = &d
		f(&next)
		stored, err := s.Put(ctx, next, limits)
		if !errors.Is(err, ErrConflict) {
			return stored, err
		}
		if one, err = s.Get(ctx, one.Tenant, one.ID); err != nil {
			return one, err
		}
		if d := one.Decision; one.State != Deciding || d.Node != mine.Node || d.At != mine.At || d.Action != mine.Action {
			return one, ErrConflict
		}
	}
}

// AddReport adds the report of one.Reporters[0], in ms one.At. If the target, which one.Unique identifies, was reported
// before, the reporter is added to that item. A reporter who has reported the target is not added again, and fresh is false.
// A decided item becomes open again, unless the message was retracted. Errors: those of [Store.Put] but ErrExists.
func AddReport(ctx context.Context, s Store, one Item, limits Limits) (stored Item, fresh bool, err error) {
	one.Kind, one.State, one.Reports, one.Due = Report, Open, 1, one.Until
	stored, err = s.Put(ctx, one, limits)
	if !errors.Is(err, ErrExists) {
		return stored, err == nil, err
	}
	reporter := one.Reporters[0]
	stored, err = update(ctx, s, one.Tenant, stored.ID, limits, func(old *Item) error {
		if fresh = old.add(reporter); !fresh {
			return errSame
		}
		if old.State == Decided && old.Decision.Action != Retract {
			old.State, old.Until, old.Due = Open, one.Until, one.Until
		}
		return nil
	})
	switch {
	case errors.Is(err, errSame):
		return stored, false, nil
	case errors.Is(err, ErrNone): // it was removed meanwhile
		return AddReport(ctx, s, one, limits)
	}
	return stored, err == nil, err
}

// errSame ends an update that changes nothing.
var errSame = errors.New("the item has the reporter already")

// add adds a reporter, and reports whether that is a new one. Beyond MaxReporters reporters are counted but not named.
func (i *Item) add(r Reporter) bool {
	if slices.ContainsFunc(i.Reporters, func(old Reporter) bool { return old.Same(&r) }) {
		return false
	}
	i.Reports++
	if len(i.Reporters) < MaxReporters {
		i.Reporters = append(slices.Clip(i.Reporters), r)
	}
	return true
}

// update changes an item by f, which may be called several times, as long as others change the item at the same time.
// It returns the item before f if f fails.
func update(ctx context.Context, s Store, tenant, id string, limits Limits, f func(*Item) error) (Item, error) {
	for {
		one, err := s.Get(ctx, tenant, id)
		if err != nil {
			return one, err
		}
		next := one
		if err := f(&next); err != nil {
			return one, err
		}
		if next, err = s.Put(ctx, next, limits); !errors.Is(err, ErrConflict) {
			return next, err
		}
	}
}

// Erase removes the items of a user of a tenant, in whatever state they are, and the user's name, address and texts from the
// reports that the user made. It returns the number of items that it removed or changed. It reads all reports of the tenant.
// Errors: ErrUnknown; some of the items may then be erased.
func Erase(ctx context.Context, s Store, tenant, user string, limits Limits) (erased int, err error) {
	remove := func(one *Item) error {
		had, err := s.Remove(ctx, tenant, one.ID)
		if had {
			erased++
		}
		return err
	}
	hide := func(one *Item) error {
		is := func(r Reporter) bool { return r.User == user }
		if !slices.ContainsFunc(one.Reporters, is) {
			return nil
		}
		_, err := update(ctx, s, tenant, one.ID, limits, func(one *Item) error {
			one.Reporters = slices.Clone(one.Reporters)
			for i := range one.Reporters {
				if is(one.Reporters[i]) {
					one.Reporters[i] = Reporter{At: one.Reporters[i].At, Connection: "erased"}
				}
			}
			return nil
		})
		if errors.Is(err, ErrNone) {
			return nil
		}
		erased++
		return err
	}
	for _, decided := range []bool{false, true} {
		if err := each(ctx, s, tenant, Query{Decided: decided, Subject: SubjectOfUser(user)}, remove); err != nil {
			return erased, err
		}
		if err := each(ctx, s, tenant, Query{Decided: decided, Kind: Report}, hide); err != nil {
			return erased, err
		}
	}
	return erased, nil
}

// each calls f with each item of a query.
func each(ctx context.Context, s Store, tenant string, q Query, f func(*Item) error) error {
	for q.Limit = 100; ; {
		page, next, err := s.List(ctx, tenant, q)
		if err != nil {
			return err
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}
