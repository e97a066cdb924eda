package millis

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// TestMicrosecondsSurviveJSON checks that times and durations keep their microseconds
// in JSON.
func TestMicrosecondsSurviveJSON(t *testing.T) {
	for _, at := range []time.Time{time.UnixMicro(0), time.Date(2026, 11, 29, 23, 59, 59, 123_456_000, time.UTC), time.Date(2199, 12, 31, 0, 0, 0, 999_999_000, time.UTC)} {
		text, err := json.Marshal(TimeOf(at))
		if err != nil {
			t.Fatal(err)
		}
		var got Time
		if err := json.Unmarshal(text, &got); err != nil || !got.Time().Equal(at) || got != TimeOf(at) {
			t.Errorf("%v is %s, read as %v, %v", at, text, got.Time(), err)
		}
		if next := TimeOf(at.Add(time.Microsecond)); next <= got {
			t.Errorf("a microsecond after %v is %v, not later than %v", at, next, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0", 1500 * time.Nanosecond: "0.0015", 12 * time.Microsecond: "0.012", time.Minute: "60000"} {
		if text, err := json.Marshal(DurationOf(d)); err != nil || string(text) != want {
			t.Errorf("%v is %s, %v; want %s", d, text, err, want)
		}
		if got := DurationOf(d).Std(); got != d {
			t.Errorf("%v comes back as %v", d, got)
		}
	}
}

func TestValid(t *testing.T) {
	for at, want := range map[Time]bool{0: true, TimeOf(time.Now()): true, maxTime: true, maxTime + 1: false, -1: false, Time(math.Inf(1)): false} {
		if at.Valid() != want {
			t.Errorf("%v is valid: %v", at, !want)
		}
	}
	if Time(math.NaN()).Valid() {
		t.Error("NaN is valid")
	}
}
