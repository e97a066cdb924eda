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

// TestAFullDiskChangesNothing checks that a change for which the disk has no space fails with ErrUnavailable and the cause, that
// the items are as before, and that the store takes changes again when there is space.
func TestAFullDiskChangesNothing(t *testing.T) {
	s, file := open(t, t.TempDir())
	pages := func(most string) {
		if err := file.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer file.Leave()
		if err := file.Run("PRAGMA max_page_count = "+most, nil); err != nil {
			t.Fatal(err)
		}
	}
	held, _, err := review.Hold(t.Context(), s, item("ann"), review.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	pages("1") // SQLite takes the number of pages that the file has
	large := item("bob")
	large.Message.Text = strings.Repeat("x", 64<<10)
	if _, _, err := review.Hold(t.Context(), s, large, review.Limits{}); !errors.Is(err, review.ErrUnavailable) || !strings.Contains(err.Error(), "the disk is full, and nothing was changed: free space") {
		t.Errorf("a message on a full disk: %v", err)
	}
	if one, err := s.Get(t.Context(), "t", held.ID); err != nil || one.State != review.Open {
		t.Errorf("the item is %+v, %v", one, err)
	}
	if sum, err := s.Summary(t.Context(), "t"); err != nil || sum.Held.Items != 1 {
		t.Errorf("the summary is %+v, %v", sum, err)
	}
	pages("1000000")
	if _, _, err := review.Hold(t.Context(), s, large, review.Limits{}); err != nil {
		t.Errorf("with space: %v", err)
	}
}
