package host

import (
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
)

// holdOrDeny changes a hold to a denial if the message is of the system or of a module, because it has no author who
// could receive the decision.
func (a *answer) holdOrDeny(ev *hook.Event) {
	if a.code == abi.Hold && !mayHold(ev) {
		a.code = abi.Deny
	}
}

// mayHold reports whether the event is a message of a client.
func mayHold(ev *hook.Event) bool {
	return ev.Hook == hook.OnSayReceive && (ev.After != nil || ev.Conn != nil && !ev.Caused)
}

// placeOf returns the place of e, which follows the entries earlier in the chain of a room.
func placeOf(earlier []*entry, e *entry, moved bool) hook.Place {
	p := hook.Place{Priority: e.Priority, Module: e.Module, Moved: moved}
	for _, other := range earlier {
		if other.Priority == e.Priority && other.Module == e.Module {
			p.Index++
		}
	}
	return p
}

// behind returns the index of the first entry behind the place. If the chain now has fewer entries of that module and
// priority than it had when the message was held, the last of them is the place.
func behind(entries []*entry, p *hook.Place) int {
	first, seen := len(entries), 0
	for i, e := range entries {
		switch {
		case e.Priority > p.Priority:
			return min(first, i)
		case e.Priority == p.Priority && e.Module == p.Module && seen <= p.Index:
			first, seen = i+1, seen+1
		}
	}
	return first
}
