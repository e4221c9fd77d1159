// Package levels compares values with limits.
package levels

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// Margin is how far below its limit a value must fall before the level is left
// (above it for values that warn when they fall).
const Margin = 0.05

// leastLast is how much must be counted in the last minute, before it can show that a
// fault has ended.
const leastLast = 5

// Level is a health level, with the values of resp_health_status.
type Level int

// The levels.
const (
	Healthy Level = iota
	Warning
	Critical
)

// String returns the word for the level that /api/v1/status uses, e.g. "healthy"; "level N"
// for any other number.
func (l Level) String() string {
	switch l {
	case Healthy:
		return "healthy"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	default:
		return fmt.Sprintf("level %d", int(l))
	}
}

// MarshalText implements [encoding.TextMarshaler]: it returns what String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It returns an error for an
// unknown word.
func (l *Level) UnmarshalText(text []byte) error {
	for _, x := range []Level{Healthy, Warning, Critical} {
		if x.String() == string(text) {
			*l = x
			return nil
		}
	}
	return fmt.Errorf("unknown health level %q", text)
}

// Rises returns the level of a value that is bad when high: of the worst limit that it
// reaches, and as release that by limits lowered by [Margin], a share of them. A worse
// level is kept until release is lower.
func Rises(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level { return Of(v >= l.Critical*share, v >= l.Warning*share) }
	return at(1), at(1 - Margin)
}

// Falls returns the level of a value that is bad when low: of the worst limit that it is
// below, and as release that by limits raised by [Margin], a share of them. A worse level
// is kept until release is lower.
func Falls(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level { return Of(v < l.Critical*share, v < l.Warning*share) }
	return at(1), at(1 + Margin)
}

// Of returns the worst level whose condition holds; Healthy if none does.
func Of(critical, warning bool) Level {
	switch {
	case critical:
		return Critical
	case warning:
		return Warning
	}
	return Healthy
}

// Enough reports whether at least least things were counted; true if the count is not
// known.
func Enough(counted *float64, least float64) bool { return counted == nil || *counted >= least }

// Present returns the levels of a value of five minutes, as Rises does, but no worse than
// those of the last minute, if enough was counted in that. Otherwise a fault of a few
// seconds would be reported for five minutes.
func Present(v float64, last, counted *float64, l config.Limit) (level, release Level) {
	level, release = Rises(v, l)
	if last == nil || counted == nil || *counted < leastLast {
		return level, release
	}
	now, lower := Rises(*last, l)
	return min(level, now), min(release, lower)
}
