// Announcer is a Moot module that announces joins and leaves in a room. See README.md.
package main

import (
	"fmt"
	"slices"
	"strings"

	moot "github.com/mootchat/moot/sdk/go"
)

func init() {
	moot.Register(module())
	moot.Rehearse(module(), `{"join":"{id}","quiet":["rejoined"]}`)
}

func main() {}

func module() moot.Module {
	r := &rule{
		Join:  "{id} joined",
		Leave: "{id} left",
		Quiet: []string{"rejoined", "node_lost", "destroyed"},
	}
	return moot.Module{
		Name:         "announcer",
		Version:      "1.0.0",
		Reads:        []string{"room", "cause", "id", "user"},
		Capabilities: []string{"emit"},
		Config:       moot.Into(r),
		ConfigSchema: schema,
		Init:         r.check,
		OnJoin:       func(e *moot.Event) moot.Verdict { return r.announce(e, r.Join) },
		OnLeave:      func(e *moot.Event) moot.Verdict { return r.announce(e, r.Leave) },
	}
}

const schema = `{"type":"object","additionalProperties":false,"properties":{` +
	`"join":{"type":"string","default":"{id} joined","description":"notice of a join, with {id} {user} {room}; empty: none"},` +
	`"leave":{"type":"string","default":"{id} left","description":"notice of a leave"},` +
	`"quiet":{"type":"array","items":{"type":"string"},"default":["rejoined","node_lost","destroyed"],` +
	`"description":"causes that are not announced"}}}`

// rule is the entry's config.
type rule struct {
	Join  string   `json:"join"`
	Leave string   `json:"leave"`
	Quiet []string `json:"quiet"`
}

var causes = [...]string{"roomLeave", "destroyed", "disconnect", "removed", "node_lost", "rejoined"}

func (r *rule) check() error {
	for i, cause := range r.Quiet {
		if !slices.Contains(causes[:], cause) {
			return fmt.Errorf("quiet[%d]: %q is not a cause; there are %s", i, cause, strings.Join(causes[:], ", "))
		}
	}
	return nil
}

// announce emits a notice. It logs errors and allows the event in any case.
func (r *rule) announce(e *moot.Event, template string) moot.Verdict {
	if template == "" || slices.Contains(r.Quiet, e.Cause()) {
		return moot.Allow()
	}
	room := e.Room()
	if err := e.Emit(moot.Emit{Room: room, Text: notice(template, e.Connection(), room)}); err != nil {
		e.Log(moot.LevelWarn, "not announced: "+err.Error())
	}
	return moot.Allow()
}

// notice fills in a template. A connection without a user is named by its id.
func notice(template string, c *moot.Connection, room string) string {
	id, user := c.ID(), c.User()
	if user == "" {
		user = id
	}
	return strings.NewReplacer("{id}", id, "{user}", user, "{room}", room).Replace(template)
}
