package memory

import (
	"testing"

	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/review/reviewtest"
)

func TestStore(t *testing.T) {
	reviewtest.Run(t, func(*testing.T) (a, b review.Store) {
		s := new(Store)
		return s, s
	})
}
