package web

import (
	"math"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// shown is a number formatted for people, and with all its digits.
type shown struct{ Text, Exact string }

const (
	unknown    = "–"
	notKnown   = "not known"
	timeLayout = "2006-01-02 15:04:05 UTC"
)

// show returns both forms of v, or a dash where v is nil.
func show(v *float64, format func(float64) string, unit string) shown {
	if v == nil {
		return shown{unknown, notKnown}
	}
	return shown{format(*v), health.Exact(*v) + unit}
}

func showBytes(v *float64) shown   { return show(v, health.FormatBytes, " bytes") }
func showSeconds(v *float64) shown { return show(v, health.FormatSeconds, " s") }
func showPercent(v *float64) shown { return show(v, health.FormatPercent, " (ratio)") }
func showCount(v *float64) shown   { return show(v, health.FormatCount, "") }
func showRate(v *float64) shown    { return show(v, health.FormatRate, " per second") }
func showCores(v *float64) shown   { return show(v, health.FormatPercent, " cores") }

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// unixTime returns the time of a Unix timestamp, to the second; zero where it is not
// known.
func unixTime(v *float64) time.Time {
	if v == nil || *v <= 0 || *v > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(*v), 0).UTC()
}

// trendText returns an arrow and a rate for bytes per second. Less than 100 kB a
// minute counts as level.
func trendText(perSecond float64, known bool) (arrow string, words shown) {
	perMinute := perSecond * 60
	switch {
	case !known:
		return "", shown{}
	case perMinute >= 1e5:
		arrow = "↗"
	case perMinute <= -1e5:
		arrow = "↘"
	default:
		return "→", shown{"level", "changes by " + health.FormatBytes(perMinute) + "/min over the last 5 min"}
	}
	return arrow, shown{health.FormatBytes(perMinute) + "/min", health.Exact(math.Round(perSecond)) + " bytes per second over the last 5 min"}
}

func clockOf(t time.Time) clock {
	if t.IsZero() {
		return clock{}
	}
	return clock{t.UTC().Format(time.RFC3339), formatTime(t)}
}
