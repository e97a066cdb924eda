// Package millis defines the form of times and durations in the server API: a JSON number
// of milliseconds. The number may have a fraction: times are exact to a microsecond,
// durations to a nanosecond.
package millis

import (
	"math"
	"time"
)

// Time is a time in milliseconds since 1970-01-01 UTC. Until the year 2200, times that
// differ by a microsecond are different numbers. The zero Time means that there is no time.
type Time float64

// TimeOf returns t, truncated to microseconds.
func TimeOf(t time.Time) Time { return FromMicros(t.UnixMicro()) }

// FromMicros returns the time that is us microseconds after 1970-01-01 UTC.
func FromMicros(us int64) Time { return Time(us) / 1000 }

// maxTime is the end of the year 9999.
const maxTime Time = 253_402_300_799_999

// Valid reports whether t is a number from 0 to the end of the year 9999.
func (t Time) Valid() bool { return t >= 0 && t <= maxTime } // false for NaN

// Time returns t as a time.Time in the local time zone.
func (t Time) Time() time.Time { return time.UnixMicro(int64(math.Round(float64(t) * 1000))) }

// Duration is a duration in milliseconds.
type Duration float64

// DurationOf returns d in milliseconds.
func DurationOf(d time.Duration) Duration { return Duration(d) / 1e6 }

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration {
	return time.Duration(math.Round(float64(d) * 1e6))
}
