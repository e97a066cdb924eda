//go:build chaos

package redis

import (
	"context"
	"encoding/json"
	"net/netip"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
)

// rules is the middleware of a site. It holds each message of heldRoom. The action login names the user of a connection, and the actions
// mute and pardon set and remove a module's sanction of an address in plainRoom.
type rules struct{}

// moderator is the name of the module that sets sanctions.
const moderator = "moderator"

// ruleParams are the parameters of the actions.
type ruleParams struct{ User, Address string }

func (rules) Asks(h hook.Hook, _, room string) bool {
	return h == hook.OnSayReceive && room == heldRoom || h == hook.Action
}

func (rules) Decide(_ context.Context, ev *hook.Event) hook.Verdict {
	switch {
	case ev.Hook == hook.Action:
		return act(ev)
	case ev.After != nil:
		return hook.Verdict{}
	}
	return hook.Verdict{Outcome: hook.Held, Reason: "everything waits", Module: "holder@1#1", Hold: &hook.Hold{At: hook.Place{Priority: 100, Module: "holder"}}}
}

func act(ev *hook.Event) hook.Verdict {
	var p ruleParams
	if err := json.Unmarshal(ev.Params, &p); err != nil {
		return hook.Verdict{Outcome: hook.Failed}
	}
	if ev.Action == "login" {
		return hook.Verdict{Effects: []hook.Effect{{Identity: &hook.Identity{User: p.User, Module: "login"}}}}
	}
	s, err := muteOf(p.Address)
	if err != nil {
		return hook.Verdict{Outcome: hook.Denied, Reason: err.Error()}
	}
	return hook.Verdict{Effects: []hook.Effect{{Sanction: &hook.Sanction{Set: s, Pardon: ev.Action == "pardon"}}}}
}

// muteOf returns a module's mute of an address.
func muteOf(address string) (s moderation.Sanction, err error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return s, err
	}
	s = moderation.Sanction{Network: netip.PrefixFrom(a, a.BitLen()), Kind: moderation.Mute, Rooms: plainRoom, Module: moderator}
	return s, s.Identify()
}

func (rules) Deliver(context.Context, *hook.Event, []hook.Member) hook.Delivery {
	return hook.Delivery{All: hook.AsIs}
}

func (rules) Actions(string) map[string]hook.ActionSpec {
	return map[string]hook.ActionSpec{"login": {}, "mute": {}, "pardon": {}}
}
