package memory

import (
	"testing"

	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
)

func TestStore(t *testing.T) {
	eventstest.Run(t, func(*testing.T) (a, b events.Store) {
		s := &Store{Limits: eventstest.Limits}
		return s, s
	})
}
