// Invitations is a Moot module for private rooms: users on a room's list and invited users may
// join. See README.md.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mootchat/moot/engine/glob"
	moot "github.com/mootchat/moot/sdk/go"
)

func init() { moot.Register(module()) }

func main() {}

func module() moot.Module {
	r := &rule{Rooms: []string{"private*"}, Lasts: "24h", Max: 200}
	room := moot.Input{Name: "room", Required: true, Description: "a private room"}
	user := moot.Input{Name: "user", Required: true, Description: "the name of a user"}
	return moot.Module{
		Name:         "invitations",
		Version:      "1.0.0",
		Reads:        []string{"room", "cause", "params", "user", "properties.role"},
		Capabilities: []string{"kv"},
		Config:       moot.Into(r),
		ConfigSchema: schema,
		Init:         r.check,
		OnJoin:       r.join,
		Actions: []moot.Action{
			{Name: "invite", Description: "lets a user join a private room", Run: r.invite, Inputs: []moot.Input{room, user,
				{Name: "lasts", Description: "how long, such as 2h; 0s: without end"},
				{Name: "once", Description: "true: for one join"},
				{Name: "member", Description: "true: puts the user on the room's list, from which members invite"}}},
			{Name: "uninvite", Description: "takes an invitation back", Run: r.uninvite, Inputs: []moot.Input{room, user}},
			{Name: "invitations", Description: "who may join a private room", Run: r.list, Inputs: []moot.Input{room}},
		},
	}
}

const schema = `{"type":"object","additionalProperties":false,"properties":{` +
	`"rooms":{"type":"array","items":{"type":"string"},"default":["private*"],"description":"rooms that need an invitation, as globs"},` +
	`"roles":{"type":"array","items":{"type":"string"},"description":"who has one joins without, and invites and uninvites anybody"},` +
	`"lasts":{"type":"string","default":"24h","description":"how long an invitation lasts that does not say; 0s: without end"},` +
	`"max":{"type":"integer","minimum":1,"maximum":1000,"default":200,"description":"members and invitations of a room together"}}}`

// rule is the entry's config.
type rule struct {
	Rooms []string `json:"rooms"`
	Roles []string `json:"roles"` // connections with these join, invite and uninvite
	Lasts string   `json:"lasts"`
	Max   int      `json:"max"` // limit of names in a room's record

	private []*glob.Glob
	lasts   time.Duration
}

func (r *rule) check() (err error) {
	r.private = nil
	for i, pattern := range r.Rooms {
		g, err := glob.Compile(pattern)
		if err != nil {
			return fmt.Errorf("rooms[%d]: %w", i, err)
		}
		r.private = append(r.private, g)
	}
	if i := slices.Index(r.Roles, ""); i >= 0 {
		return fmt.Errorf("roles[%d]: the role is empty", i)
	}
	if r.Max < 1 || r.Max > 1000 {
		return fmt.Errorf("max: %d is not a number from 1 to 1000", r.Max)
	}
	if r.lasts, err = span(r.Lasts); err != nil {
		return fmt.Errorf("lasts: %w", err)
	}
	return nil
}

// span is the lifetime of an invitation; 0 is unlimited.
func span(text string) (time.Duration, error) {
	const longest = 366 * 24 * time.Hour
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest || d > 0 && d < time.Second {
		return 0, fmt.Errorf("%q is not a time from 1s to %.0fh, such as 90m, or 0s", text, longest.Hours())
	}
	return d, nil
}

func (r *rule) guards(room string) bool {
	return slices.ContainsFunc(r.private, func(g *glob.Glob) bool { return g.Match(room) })
}

// hosts reports whether the connection's role is one of the config's hosts.
func (r *rule) hosts(c *moot.Connection) bool {
	var role string
	err := json.Unmarshal([]byte(c.Property("role")), &role)
	return err == nil && slices.Contains(r.Roles, role)
}

func (r *rule) join(e *moot.Event) moot.Verdict {
	room, user := e.Room(), e.Connection().User()
	if !r.guards(room) || r.hosts(e.Connection()) || e.Cause() == "rejoined" { // the connection was a member before
		return moot.Allow()
	}
	if user == "" {
		return moot.Deny("by invitation only: connect with a token that says who you are")
	}
	var refusal error
	err := change(e, room, func(list *record) bool {
		var spent bool
		spent, refusal = list.enter(user, e.Now())
		return spent
	})
	if refusal = errors.Join(err, refusal); refusal != nil {
		return moot.Deny(refusal.Error())
	}
	return moot.Allow()
}
