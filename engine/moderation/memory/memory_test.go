package memory

import (
	"testing"

	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/moderationtest"
)

func TestStore(t *testing.T) {
	moderationtest.Run(t, func(*testing.T) (a, b moderation.Store) {
		s := &Store{Limits: moderationtest.Limits}
		return s, s
	})
}
