package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lease is the time in which a node must carry out a decision. After it another node may take the item over.
const lease = 15 * time.Second

// TimeOf returns the time of an ID of [NewID]; the zero time for any other text.
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

// Hold adds a held message in the state Open. If a message with the same Unique exists, Hold returns that one instead, and
// added is false. Errors: those of [Store.Put] except ErrExists.
func Hold(ctx context.Context, s Store, one Item, limits Limits) (stored Item, added bool, err error) {
	one.Kind, one.State, one.Due = Held, Open, one.Until
	stored, err = s.Put(ctx, one, limits)
	if errors.Is(err, ErrExists) {
		return stored, false, nil
	}
	return stored, err == nil, err
}

// Begin records the decision d about an open item. The node d.Node must carry it out and call [End] or [Reopen] within 15
// seconds. If several callers begin at once, on any nodes, one succeeds; the others receive ErrDecided, and the item with the
// first Decision. A report that was decided can be decided again. Errors: ErrNone, ErrDecided, ErrUnknown; an error for users if
// the item does not have the action.
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
	d.At, d.To, d.Payload, d.Shadow = now.UnixMilli(), "", nil, ""
	i.State, i.Decision, i.Failure, i.Due = Deciding, &d, "", now.Add(lease).UnixMilli()
}

// check returns an error if items of this kind do not have the action. The text of the error is for users.
func (a Action) check(one *Item) error {
	of := map[Kind][]Action{Held: {Release, Reject, Withdraw}, Report: {Dismiss, Retract, Sanction}}[one.Kind]
	if !slices.Contains(of, a) {
		return fmt.Errorf("%.40q is not an action for the item: use %s, %s or %s", string(a), of[0], of[1], of[2])
	}
	return nil
}

// Claim gives an item of [Store.Due] to a node. Either the item has expired, or a node has not carried out its decision in
// time. The node must carry out the Decision of the result within 15 seconds; its Action is Expire for an item that has expired.
// If several nodes claim an item, one succeeds, and the others receive ErrConflict. Errors: ErrNone; ErrConflict, also if the
// item is not due; ErrUnknown.
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

// Prepare records in the Decision what the node is about to do: the room and the payload of a release, or the sanction as JSON
// with the room "". It also records MessageID and Decision.Shadow of one, which the caller may have changed; otherwise one is the
// result of Begin or Claim. A node that takes the item over then does the same, without asking the chain again. The node has another
// 15 seconds. Errors: ErrNone, ErrConflict if another node has the item now, ErrUnknown.
func Prepare(ctx context.Context, s Store, one Item, to string, payload []byte, limits Limits) (Item, error) {
	id, shadow := one.MessageID, one.Decision.Shadow
	return settle(ctx, s, one, limits, func(one *Item) {
		one.MessageID, one.Decision.Shadow = id, shadow
		one.Decision.To, one.Decision.Payload, one.Due = to, payload, time.Now().Add(lease).UnixMilli()
	})
}

// End records that the decision was carried out. one is the result of Begin, Claim or Prepare. Errors: ErrNone; ErrConflict
// if another node has the item now, which will call End itself; ErrUnknown.
func End(ctx context.Context, s Store, one Item, limits Limits) (Item, error) {
	return settle(ctx, s, one, limits, func(one *Item) {
		one.State, one.Decision.Payload = Decided, nil
		one.Due = time.Now().Add(limits.WithDefaults().Retention).UnixMilli()
		if one.Kind == Held {
			one.Unique = "" // the next message with the same key is a new item
		}
	})
}

// Reopen records that the decision was not carried out; why is the reason, for moderators. The item is open again. If it has
// expired meanwhile, it is due at once: call [End] if the failure is final. Errors: those of End.
func Reopen(ctx context.Context, s Store, one Item, why string, limits Limits) (Item, error) {
	return settle(ctx, s, one, limits, func(one *Item) {
		one.State, one.Decision, one.Failure, one.Due = Open, nil, why, one.Until
	})
}

// settle changes an item whose decision this node carries out. It repeats the change if others have added reports to the item
// since one was read.
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

// AddReport adds a report by one.Reporters[0], made at one.At. one.Unique identifies the target. If there is an item of the
// target, AddReport adds the reporter to it; fresh is false if the item has the reporter already. A decided item becomes open
// again, unless the message was retracted. Errors: those of [Store.Put] except ErrExists.
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

// add adds a reporter. It returns false if the report has the reporter already. After MaxReporters reporters it only counts.
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

// update changes an item by f. It calls f again if others have changed the item at the same time. If f fails, update returns
// the item as it was, and the error of f.
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

// Erase removes all items whose author or reported user is the user, in every state. In the reports that the user made, it
// replaces the user's name, connection, address and reason. It returns the number of items that it has removed or changed. The
// cost grows with the number of all reports of the tenant. Errors: ErrUnknown; some of the items may then be erased.
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
