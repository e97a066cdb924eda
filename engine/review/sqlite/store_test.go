package sqlite

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/review"
	"github.com/mootchat/moot/engine/review/reviewtest"
	"github.com/mootchat/moot/engine/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) (*Store, *datafile.File) {
	t.Helper()
	file, err := datafile.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(file), file
}

func TestStore(t *testing.T) {
	s, file := open(t, t.TempDir()) // one file for all tests: opening one takes long under the race detector
	reviewtest.Run(t, func(t *testing.T) (a, b review.Store) {
		if err := file.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer file.Leave()
		for _, table := range []string{"reviews", "review_counters", "review_versions"} {
			if err := file.Run("DELETE FROM "+table, nil); err != nil {
				t.Fatal(err)
			}
		}
		return s, s
	})
}

func item(user string) review.Item {
	return review.Item{ID: review.NewID(time.Now()), Tenant: "t", Kind: review.Held, State: review.Open, User: user, Room: "r", Message: wire.Message{Text: "hi"}}
}

// TestItemsOutliveTheStore checks that the next store of a directory has all items with their states, counts and versions, and
// that a decision that was begun is due and can be claimed.
func TestItemsOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	s, file := open(t, dir)
	held, _, err := review.Hold(t.Context(), s, item("ann"), review.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	begun, _, err := review.Hold(t.Context(), s, item("bob"), review.Limits{})
	if err == nil {
		begun, err = review.Begin(t.Context(), s, "t", begun.ID, review.Decision{Action: review.Release, By: "mod", Node: "n"}, review.Limits{})
	}
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Summary(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "t", held.ID); !errors.Is(err, datafile.ErrClosed) {
		t.Errorf("a closed store answers %v", err)
	}
	s, file = open(t, dir)
	if after, err := s.Summary(t.Context(), "t"); err != nil || after != before {
		t.Errorf("the summary is %+v, %v, want %+v", after, err, before)
	}
	due, err := s.Due(t.Context(), "t", begun.Due, 10)
	if err != nil || len(due) != 1 || due[0].ID != begun.ID || due[0].Decision.By != "mod" {
		t.Errorf("due are %+v, %v", due, err)
	}
	if err := file.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = file.Run("UPDATE reviews SET data = replace(data, 'held', 'other')", nil)
	file.Leave()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "t", held.ID); err == nil || !strings.Contains(err.Error(), "the file is damaged") {
		t.Errorf("a damaged item: %v", err)
	}
}
