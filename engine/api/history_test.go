package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/histogram"
	"github.com/mootchat/moot/engine/millis"
)

// counted returns a history that has run for d, on a node that publishes a message every 2 s and uses half of a processor.
func counted(t *testing.T, d time.Duration) *history {
	began := time.Now()
	var verbs histogram.Histogram
	h := &history{read: func() (totals, measures) {
		verbs.Observe(3 * time.Millisecond)
		since := time.Since(began)
		return totals{at: time.Now(), messages: uint64(since / (2 * time.Second)), processor: since / 2, verbTimes: verbs.Snapshot()},
			measures{ofConnections: 7, ofMemory: float32(math.NaN())}
	}}
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	h.run(ctx)
	return h
}

func TestHistoryHasRatesAtMultiplesOfItsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1234 * time.Millisecond)
		h := counted(t, 3*time.Hour)
		for i, span := range spans {
			s := h.since(span.name, 0)
			if want := min(span.points, int(3*time.Hour/span.step)); len(s.At) < want-1 || len(s.At) > want {
				t.Errorf("%s: %d points, want %d", span.name, len(s.At), want)
			}
			for k, at := range s.At {
				if step := float64(span.step.Milliseconds()); math.Mod(float64(at), step) != 0 || k > 0 && float64(at-s.At[k-1]) != step {
					t.Fatalf("%s: point %d is at %v", span.name, k, at)
				}
			}
			last := len(s.At) - 1
			if s.Connections[last] != 7 || math.Abs(float64(s.Messages[last]-0.5)) > 0.15 || math.Abs(float64(s.Processors[last]-0.5)) > 0.01 {
				t.Errorf("%s: %v, %v, %v", span.name, s.Connections[last], s.Messages[last], s.Processors[last])
			}
			if s.VerbTimes.P99[last] < 2 || s.VerbTimes.P99[last] > 5 || s.ModuleTimes.P99[last] == s.ModuleTimes.P99[last] {
				t.Errorf("%s: %v, %v", span.name, s.VerbTimes.P99[last], s.ModuleTimes.P99[last])
			}
			if more := h.since(span.name, s.At[last-1]); len(more.At) != 1 || more.At[0] != s.At[last] {
				t.Errorf("%s since the last but one: %v", span.name, more.At)
			}
			if cap(h.rings[i].points) > 2*span.points {
				t.Errorf("%s: room for %d points", span.name, cap(h.rings[i].points))
			}
		}
	})
}

// TestHistorySurvivesJSON checks that missing values stay missing in the answers of nodes.
func TestHistorySurvivesJSON(t *testing.T) {
	text, err := json.Marshal(series{At: []millis.Time{5000, 10_000}, Memory: []value{value(math.NaN()), 12345678}})
	if err != nil {
		t.Fatal(err)
	}
	var s series
	if err := json.Unmarshal(text, &s); err != nil || s.Memory[0] == s.Memory[0] || s.Memory[1] != 12350000 {
		t.Errorf("%s: %v, %v", text, s.Memory, err)
	}
}

func TestHistoryOfAStoppedClockHasNoPoint(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	h := &history{read: func() (totals, measures) { return totals{at: at}, measures{} }}
	for range 3 {
		h.take()
	}
	at = at.Add(5 * time.Second)
	h.take()
	if s := h.since("10m", 0); fmt.Sprint(s.At) != fmt.Sprint([]millis.Time{1_700_000_005_000}) {
		t.Errorf("%v", s.At)
	}
}
