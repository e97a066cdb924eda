package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

// record says who may join a room. It is stored under the key "room:ROOM".
type record struct {
	Members     []string              `json:"members,omitempty"`
	Invitations map[string]invitation `json:"invitations,omitempty"` // by user
}

type invitation struct {
	By   string `json:"by,omitempty"`   // the user who invited
	Ends int64  `json:"ends,omitempty"` // ms since 1970; 0: never
	Once bool   `json:"once,omitempty"`
}

func (i invitation) over(now time.Time) bool { return i.Ends != 0 && now.UnixMilli() >= i.Ends }

var (
	errNotPossible = errors.New("not possible now")
	errNotInvited  = errors.New("by invitation only")
	errOver        = errors.New("your invitation has expired")
)

// has reports whether user is a member; "" is not.
func (r *record) has(user string) bool { return user != "" && slices.Contains(r.Members, user) }

// enter returns why user may not join, or nil, and whether the join uses up an invitation.
func (r *record) enter(user string, now time.Time) (spent bool, err error) {
	if r.has(user) {
		return false, nil
	}
	i, ok := r.Invitations[user]
	switch {
	case !ok:
		return false, errNotInvited
	case i.over(now):
		return false, errOver
	}
	if i.Once {
		delete(r.Invitations, user)
	}
	return i.Once, nil
}

// remove removes user and reports whether the user was listed.
func (r *record) remove(user string) bool {
	n := len(r.Members) + len(r.Invitations)
	r.Members = slices.DeleteFunc(r.Members, func(m string) bool { return m == user })
	delete(r.Invitations, user)
	return len(r.Members)+len(r.Invitations) < n
}

// prune removes expired invitations.
func (r *record) prune(now time.Time) {
	maps.DeleteFunc(r.Invitations, func(_ string, i invitation) bool { return i.over(now) })
}

// read returns the record of the room and its stored text; "" if there is none.
func read(e *moot.Event, room string) (*record, string, error) {
	list, key := new(record), "room:"+room
	text, err := e.KV().Get(key)
	switch {
	case err == moot.ErrAbsent:
		return list, "", nil
	case err != nil:
		e.Log(moot.LevelError, fmt.Sprintf("the key %q cannot be read: %v", key, err))
		return nil, "", errNotPossible
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(list)
	if _, more := d.Token(); err == nil && more != io.EOF {
		err = errors.New("there is more after the object")
	}
	if err != nil {
		e.Log(moot.LevelError, fmt.Sprintf(`the key %q must hold {"members": [USER], "invitations": {USER: {"by", "ends", "once"}}}: %v`, key, err))
		return nil, "", errNotPossible
	}
	return list, text, nil
}

// change reads the record, calls edit, and stores the result if edit returns true. It repeats
// these steps if another call changed the record in between.
func change(e *moot.Event, room string, edit func(*record) bool) error {
	for range 5 {
		list, old, err := read(e, room)
		if err != nil {
			return err
		}
		if !edit(list) {
			return nil
		}
		list.prune(e.Now())
		text, _ := json.Marshal(list) // strings and numbers can always be encoded
		switch swapped, err := e.KV().Swap("room:"+room, old, string(text), 0); {
		case err == moot.ErrTooLarge:
			return errors.New("the room's list is full")
		case err != nil:
			e.Log(moot.LevelError, fmt.Sprintf("the key %q cannot be set: %v", "room:"+room, err))
			return errNotPossible
		case swapped:
			return nil
		}
	}
	return errNotPossible
}
