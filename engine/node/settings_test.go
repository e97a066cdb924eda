package node

import (
	"reflect"
	"testing"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/config"
)

// TestRoomSettingsReachTheEngine checks that the engine gets each setting of a room.
func TestRoomSettingsReachTheEngine(t *testing.T) {
	for _, c := range []struct {
		set  config.RoomSettings
		want engine.RoomSettings
	}{
		{config.RoomSettings{MaxMembers: 5}, engine.RoomSettings{MaxMembers: 5}},
		{config.RoomSettings{History: 7, HistoryTTL: time.Minute}, engine.RoomSettings{Retention: cluster.Retention{Messages: 7, For: time.Minute}}},
		{config.RoomSettings{HistoryTTL: time.Minute}, engine.RoomSettings{}}, // the default without history
		{config.RoomSettings{Ephemeral: true}, engine.RoomSettings{Retention: cluster.Retention{Ephemeral: true}}},
		{config.RoomSettings{Presence: true}, engine.RoomSettings{Presence: true}},
		{config.RoomSettings{JSON: true}, engine.RoomSettings{JSON: true}},
		{config.RoomSettings{AmendmentNotices: true}, engine.RoomSettings{AmendmentNotices: true}},
		{config.RoomSettings{FlushDelay: time.Second}, engine.RoomSettings{FlushDelay: time.Second}},
	} {
		if is := roomSettings(c.set, nil); !reflect.DeepEqual(is, c.want) {
			t.Errorf("%+v becomes %+v, want %+v", c.set, is, c.want)
		}
	}
}
