package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// Limits of UserMessages.
const (
	searchedRooms    = 20  // of a user
	searchedMessages = 100 // the last ones of each room
)

// UserMessages returns at most limit messages of a user, the latest first, in the form of StoredMessages. It reads the last 100
// messages of at most 20 rooms: of room, if it is not "", and of the rooms in which the user is now. Rooms without history have
// no messages. In a room that does not name users it finds only the messages of connections that the user has now. more is true
// if the user is in further rooms. Errors: ErrNoTenant, those of the cluster.
func (e *Engine) UserMessages(ctx context.Context, tenant, user, room string, limit int) (messages []json.RawMessage, more bool, err error) {
	status, err := e.User(ctx, tenant, user)
	if err != nil {
		return nil, false, err
	}
	rooms := status.Rooms
	if room != "" {
		rooms = append([]string{room}, slices.DeleteFunc(rooms, func(other string) bool { return other == room })...)
	}
	type sent struct {
		at      int64
		message json.RawMessage
	}
	var found []sent
	for _, name := range rooms[:min(len(rooms), searchedRooms)] {
		stored, _, err := e.StoredMessages(ctx, cluster.RoomID{Tenant: tenant, Room: name}, 0, searchedMessages)
		if err != nil && !errors.Is(err, cluster.ErrNoRoom) {
			return nil, false, err
		}
		for _, raw := range stored {
			if at, ok := status.said(user, raw); ok {
				found = append(found, sent{at, raw})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b sent) int { return cmp.Compare(b.at, a.at) })
	for _, one := range found[:min(len(found), limit)] {
		messages = append(messages, one.message)
	}
	return messages, len(rooms) > searchedRooms || status.More, nil
}

// said reports whether a stored message is the user's, and when it was sent.
func (s *UserStatus) said(user string, raw json.RawMessage) (sentAt int64, ok bool) {
	var m struct {
		User, From string
		SentAt     int64
	}
	if json.Unmarshal(raw, &m) != nil {
		return 0, false
	}
	own := func(c ConnectionInfo) bool { return c.ID == m.From }
	return m.SentAt, m.User == user || m.User == "" && slices.ContainsFunc(s.Connections, own)
}
