package sqlite

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/datafile"
	"github.com/mootchat/moot/engine/events"
	"github.com/mootchat/moot/engine/events/eventstest"
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
	_, file := open(t, t.TempDir()) // of all tests: to open one takes long under the race detector
	eventstest.Run(t, func(t *testing.T) (a, b events.Store) {
		if err := file.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer file.Leave()
		for _, table := range []string{"events", "event_sinks", "event_counts", "event_usage"} {
			if err := file.Run("DELETE FROM "+table, nil); err != nil {
				t.Fatal(err)
			}
		}
		s := New(file)
		s.Limits = eventstest.Limits
		return s, s
	})
}

// TestEventsOutliveTheStore checks that the next store of a directory has all events, dead letters and states, and that claims have
// ended with the process.
func TestEventsOutliveTheStore(t *testing.T) {
	dir, sink := t.TempDir(), events.Sink{Tenant: "t", Name: "hooks"}
	s, file := open(t, dir)
	record := func(id string) events.Record {
		return events.Record{Sink: sink, Event: events.Event{ID: id, Kind: "test", At: 1, Data: []byte("{}")}}
	}
	if err := s.Append(t.Context(), []events.Record{record("1"), record("2"), record("3")}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), sink, 1, 1<<40)
	if err == nil {
		_, err = s.Settle(t.Context(), c, events.Result{Dead: 1, Error: "400"})
	}
	if err == nil {
		_, err = s.Claim(t.Context(), sink, 1, 1<<40)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.States(t.Context(), "t")
	if err != nil || len(before) != 1 || before[0].Events != 2 || before[0].Dead != 1 {
		t.Fatalf("the states are %+v, %v", before, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir)
	if after, err := s.States(t.Context(), "t"); err != nil || len(after) != 1 || after[0] != before[0] {
		t.Errorf("the states are %+v, %v, want %+v", after, err, before)
	}
	if c, err := s.Claim(t.Context(), sink, 9, 1); err != nil || c == nil || len(c.Records) != 2 || c.Records[0].ID != "2" || c.Records[0].Sequence != 2 {
		t.Errorf("the claim is %+v, %v", c, err)
	}
}
