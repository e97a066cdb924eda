// Gate is a Moot module that keeps rooms for members: who logs in with a token
// gets a role, and who has a role may join. See README.md.
package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/mootchat/moot/engine/glob"
	moot "github.com/mootchat/moot/sdk/go"
)

func init() { moot.Register(module()) }

func main() {}

func module() moot.Module {
	r := &rule{Rooms: []string{"secure*"}}
	return moot.Module{
		Name:         "gate",
		Version:      "1.0.0",
		Reads:        []string{"room", "params", "properties.role"},
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
	`"rooms":{"type":"array","items":{"type":"string"},"default":["secure*"],"description":"rooms that need a role, as globs"},` +
	`"tokens":{"type":"object","additionalProperties":{"type":"string"},"description":"token: role"}}}`

// rule is the entry's config.
type rule struct {
	Rooms  []string          `json:"rooms"`
	Tokens map[string]string `json:"tokens"`

	guarded []*glob.Glob
}

func (r *rule) check() error {
	for i, pattern := range r.Rooms {
		g, err := glob.Compile(pattern)
		if err != nil {
			return fmt.Errorf("rooms[%d]: %w", i, err)
		}
		r.guarded = append(r.guarded, g)
	}
	for token, role := range r.Tokens {
		switch {
		case token == "":
			return errors.New("tokens: one is empty")
		case role == "":
			return errors.New("tokens: a token has no role")
		}
	}
	return nil
}

func (r *rule) join(e *moot.Event) moot.Verdict {
	if !r.guards(e.Room()) || hasRole(e.Connection()) {
		return moot.Allow()
	}
	return moot.Deny("members only: log in first")
}

func (r *rule) guards(room string) bool {
	return slices.ContainsFunc(r.guarded, func(g *glob.Glob) bool { return g.Match(room) })
}

// hasRole says whether a role was set, by a login or by a claim of the client's
// own token.
func hasRole(c *moot.Connection) bool {
	role := c.Property("role")
	return role != "" && role != "null" && role != `""`
}

func (r *rule) login(e *moot.Event) moot.Verdict {
	var params struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(e.Params()), &params); err != nil {
		return moot.Deny("login: token must be a text")
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

// role is that of the token. Every token is compared whole, so that the time
// taken tells nothing of how much of one was guessed.
func (r *rule) role(given string) (role string, ok bool) {
	for token, its := range r.Tokens {
		if subtle.ConstantTimeCompare([]byte(token), []byte(given)) == 1 {
			role, ok = its, true
		}
	}
	return role, ok
}
