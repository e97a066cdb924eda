package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

// params are the parameters of all actions.
type params struct {
	Room   string `json:"room"`
	User   string `json:"user"`
	Lasts  string `json:"lasts"`
	Once   flag   `json:"once"`
	Member flag   `json:"member"`

	lasts time.Duration
}

// flag is a bool. A client on a TCP connection can send it only as a string.
type flag bool

func (f *flag) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true", `"true"`:
		*f = true
	case "false", `"false"`, "null":
		*f = false
	default:
		return errors.New("once and member must be true or false")
	}
	return nil
}

const maxName = 256 // bytes

// params returns the parameters of the event, or an error for the client.
func (r *rule) params(e *moot.Event) (p params, err error) {
	err = json.Unmarshal([]byte(e.Params()), &p)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return p, fmt.Errorf("%s must be a string", wrong.Field)
	case err != nil:
		return p, err
	case !r.guards(p.Room):
		return p, errors.New("that room needs no invitation")
	case len(p.User) > maxName:
		return p, fmt.Errorf("a user's name is at most %d bytes", maxName)
	}
	p.lasts = r.lasts
	if p.Lasts != "" {
		if p.lasts, err = span(p.Lasts); err != nil {
			return p, fmt.Errorf("lasts: %w", err)
		}
	}
	return p, nil
}

// answer returns the verdict of the action: the reply, or a denial with the error.
func answer(action string, err error, reply any) moot.Verdict {
	if err != nil {
		return moot.Deny(action + ": " + err.Error())
	}
	text, _ := json.Marshal(reply) // strings and numbers can always be encoded
	return moot.Reply(string(text))
}

var errNotYours = errors.New("only a member of the room may do that")

// edit changes the room's record with do, if the connection is allowed to.
func (r *rule) edit(e *moot.Event, room string, do func(list *record, host bool) error) error {
	host, user := r.hosts(e.Connection()), e.Connection().User()
	var refusal error
	err := change(e, room, func(list *record) bool {
		refusal = errNotYours
		if host || list.has(user) {
			refusal = do(list, host)
		}
		return refusal == nil
	})
	return errors.Join(err, refusal)
}

func (r *rule) invite(e *moot.Event) moot.Verdict {
	p, err := r.params(e)
	if err == nil && p.User == "" {
		err = errors.New("user is missing")
	}
	if err != nil {
		return answer("invite", err, nil)
	}
	given := invitation{By: e.Connection().User(), Once: bool(p.Once)}
	if p.lasts > 0 {
		given.Ends = e.Now().Add(p.lasts).UnixMilli()
	}
	err = r.edit(e, p.Room, func(list *record, host bool) error {
		switch {
		case bool(p.Member) && !host:
			return errors.New("your role may not make members")
		case list.has(p.User):
			return errors.New("that user is a member already")
		}
		list.prune(e.Now())
		if i, invited := list.Invitations[p.User]; invited && !host && i.By != given.By {
			return errors.New("somebody else has invited that user")
		}
		list.remove(p.User)
		if len(list.Members)+len(list.Invitations) >= r.Max {
			return errors.New("the room's list is full")
		}
		if p.Member {
			list.Members = append(list.Members, p.User)
			return nil
		}
		if list.Invitations == nil {
			list.Invitations = map[string]invitation{}
		}
		list.Invitations[p.User] = given
		return nil
	})
	if p.Member {
		return answer("invite", err, map[string]bool{"member": true})
	}
	return answer("invite", err, map[string]invitation{"invitation": given})
}

func (r *rule) uninvite(e *moot.Event) moot.Verdict {
	p, err := r.params(e)
	if err == nil {
		err = r.edit(e, p.Room, func(list *record, host bool) error {
			if i, invited := list.Invitations[p.User]; !host && (!invited || i.By != e.Connection().User()) {
				return errors.New("you have not invited that user")
			}
			if !list.remove(p.User) {
				return errors.New("that user is not invited")
			}
			return nil
		})
	}
	return answer("uninvite", err, map[string]bool{"uninvited": true})
}

func (r *rule) list(e *moot.Event) moot.Verdict {
	p, err := r.params(e)
	if err != nil {
		return answer("invitations", err, nil)
	}
	list, _, err := read(e, p.Room)
	if err == nil && !r.hosts(e.Connection()) && !list.has(e.Connection().User()) {
		err = errNotYours
	}
	if err != nil {
		return answer("invitations", err, nil)
	}
	list.prune(e.Now())
	return answer("invitations", nil, list)
}
