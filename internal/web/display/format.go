// Package display has numbers, times, levels and threads as the page shows them to people.
package display

import (
	"math"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// Shown is a number formatted for people, and with all its digits.
type Shown struct{ Text, Exact string }

const (
	unknown  = "–"
	notKnown = "not known"
	layout   = "2006-01-02 15:04:05 UTC"
)

// show returns v for people, by format, and exactly, with its unit; a dash if v is nil.
func show(v *float64, format func(float64) string, unit string) Shown {
	if v == nil {
		return Shown{unknown, notKnown}
	}
	return Shown{format(*v), health.Exact(*v) + unit}
}

// Bytes returns a number of bytes for people, e.g. "1.2 MB", and exactly; a dash if v is
// nil.
func Bytes(v *float64) Shown { return show(v, health.FormatBytes, " bytes") }

// Seconds returns seconds for people, e.g. "2 min 5 s", and exactly; a dash if v is nil.
func Seconds(v *float64) Shown { return show(v, health.FormatSeconds, " s") }

// Percent returns a ratio, from 0 to 1, as percent and exactly; a dash if v is nil.
func Percent(v *float64) Shown { return show(v, health.FormatPercent, " (ratio)") }

// Count returns a number of things for people and exactly; a dash if v is nil.
func Count(v *float64) Shown { return show(v, health.FormatCount, "") }

// Rate returns a number per second for people and exactly; a dash if v is nil.
func Rate(v *float64) Shown { return show(v, health.FormatRate, " per second") }

// Cores returns a number of CPU cores as percent of one, and exactly; a dash if v is nil.
func Cores(v *float64) Shown { return show(v, health.FormatPercent, " cores") }

// Time returns a time in UTC as text, to the second.
func Time(t time.Time) string { return t.UTC().Format(layout) }

// UnixTime returns the time of a Unix timestamp, to the second; the zero time if it is nil,
// not above 0, or above 1e11.
func UnixTime(v *float64) time.Time {
	if v == nil || *v <= 0 || *v > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(*v), 0).UTC()
}

// Trend returns an arrow and words for a change in bytes per second, e.g. "↗" and "1.2
// MB/min"; "→" and "level" below 100 kB a minute. Both are empty if known is false.
func Trend(perSecond float64, known bool) (arrow string, words Shown) {
	perMinute := perSecond * 60
	switch {
	case !known:
		return "", Shown{}
	case perMinute >= 1e5:
		arrow = "↗"
	case perMinute <= -1e5:
		arrow = "↘"
	default:
		return "→", Shown{"level", "changes by " + health.FormatBytes(perMinute) + "/min over the last 5 min"}
	}
	return arrow, Shown{health.FormatBytes(perMinute) + "/min", health.Exact(math.Round(perSecond)) + " bytes per second over the last 5 min"}
}

// Clock is a time, for machines and in UTC for people. The script converts it
// to local time.
type Clock struct{ Machine, UTC string }

// ClockOf returns a time as text for machines and for people; empty texts for the zero
// time.
func ClockOf(t time.Time) Clock {
	if t.IsZero() {
		return Clock{}
	}
	return Clock{t.UTC().Format(time.RFC3339), Time(t)}
}
