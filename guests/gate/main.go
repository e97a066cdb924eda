// Gate is a Moot module that restricts rooms to clients with a role. A client that logs in
// with a token gets a role. See README.md.
package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/glob"
	moot "github.com/mootchat/moot/sdk/go"
)

func init() {
	moot.Register(module())
	moot.Rehearse(module(), `{"rooms":["a*",{"match":"b","roles":["c"]}],"tokens":{"d":"e"}}`)
}

func main() {}

func module() moot.Module {
	r := &rule{Rooms: []door{{Match: "secure*"}}}
	return moot.Module{
		Name:         "gate",
		Version:      "1.1.0",
		Reads:        []string{"room", "cause", "params", "properties.role"},
		Capabilities: []string{"properties:role"},
		Config:       moot.Into(r),
		ConfigSchema: schema,
		Init:         r.check,
		OnJoin:       r.join,
		Actions: []moot.Action{{
			Name:        "login",
			Description: "gives this connection the role of a token",
			Inputs:      []moot.Input{{Name: "token", Required: true, Description: "a secret that you were given"}},
			Run:         r.login,
		}},
	}
}

const schema = `{"type":"object","additionalProperties":false,"properties":{` +
	`"rooms":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":false,"required":["match"],` +
	`"properties":{"match":{"type":"string"},"roles":{"type":"array","items":{"type":"string"}},"open":{"type":"boolean"},` +
	`"capacity":{"type":"integer","minimum":0}}}]},"default":["secure*"],"description":"rooms that need a role, as globs; the first that fits holds"},` +
	`"tokens":{"type":"object","additionalProperties":{"type":"string"},"description":"token: role"}}}`

// rule is the entry's config.
type rule struct {
	Rooms  []door            `json:"rooms"`
	Tokens map[string]string `json:"tokens"`
}

// door is a pattern of rooms and the roles that may join them. In a config a string stands for a door with only a match.
type door struct {
	Match    string   `json:"match"`
	Roles    []string `json:"roles"`    // one of these is required; empty: any role
	Open     bool     `json:"open"`     // no role is required
	Capacity int      `json:"capacity"` // limit of members on all nodes; 0 = no limit

	rooms *glob.Glob
}

func (d *door) UnmarshalJSON(text []byte) error {
	*d = door{}
	if json.Unmarshal(text, &d.Match) == nil {
		return nil
	}
	type plain door // a type without UnmarshalJSON
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode((*plain)(d)); err != nil {
		return fmt.Errorf("rooms: %s is neither a pattern nor {match, roles, open, capacity}", text)
	}
	return nil
}

func (d *door) check() (err error) {
	switch {
	case d.Capacity < 0:
		return fmt.Errorf("capacity: %d is less than 0", d.Capacity)
	case d.Open && len(d.Roles) > 0:
		return errors.New("an open room needs no roles: leave one of the two out")
	}
	d.rooms, err = glob.Compile(d.Match)
	return err
}

func (r *rule) check() error {
	for i := range r.Rooms {
		if err := r.Rooms[i].check(); err != nil {
			return fmt.Errorf("rooms[%d]: %w", i, err)
		}
	}
	for token, role := range r.Tokens {
		switch {
		case token == "":
			return errors.New("tokens: a token is empty")
		case role == "":
			return errors.New("tokens: a token has no role")
		}
	}
	return nil
}

func (r *rule) join(e *moot.Event) moot.Verdict {
	i := slices.IndexFunc(r.Rooms, func(d door) bool { return d.rooms.Match(e.Room()) })
	if i < 0 {
		return moot.Allow()
	}
	d := &r.Rooms[i]
	if role := roleOf(e.Connection()); !d.Open && role == "" {
		return moot.Deny("members only: log in first")
	} else if len(d.Roles) > 0 && !slices.Contains(d.Roles, role) {
		return moot.Deny("this room is not for your role")
	}
	if d.Capacity == 0 || e.Cause() == "rejoined" { // the connection was a member before
		return moot.Allow()
	}
	members, err := e.RoomSize()
	if err != nil {
		e.Log(moot.LevelError, "the members cannot be counted: "+err.Error())
		return moot.Deny("not possible now")
	}
	if members >= d.Capacity {
		return moot.Deny("the room is full")
	}
	return moot.Allow()
}

// roleOf returns the role that a login or a claim of the client's token set; "" if there is
// none. The role of a claim that is not a string is its JSON.
func roleOf(c *moot.Connection) string {
	value := c.Property("role")
	if value == "" || value == "null" {
		return ""
	}
	var text string
	if json.Unmarshal([]byte(value), &text) != nil {
		return value
	}
	return text
}

func (r *rule) login(e *moot.Event) moot.Verdict {
	var params struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(e.Params()), &params); err != nil {
		return moot.Deny("login: token must be a string")
	}
	role, ok := r.role(params.Token)
	if !ok {
		return moot.Deny("login: unknown token")
	}
	role = moot.Quote(role)
	if err := e.SetProperty("role", role); err != nil {
		e.Log(moot.LevelError, "the role cannot be set: "+err.Error())
		return moot.Deny("login: not possible now")
	}
	return moot.Reply(`{"authorized":true,"role":` + role + `}`)
}

// role returns the role of a token. It compares all tokens in constant time, so that the time
// does not reveal the correct part of a guess.
func (r *rule) role(given string) (role string, ok bool) {
	for token, its := range r.Tokens {
		if subtle.ConstantTimeCompare([]byte(token), []byte(given)) == 1 {
			role, ok = its, true
		}
	}
	return role, ok
}
