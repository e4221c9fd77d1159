package health

import "github.com/resp-exporter/resp-exporter/internal/config"

// rises returns the level of a value that must stay below its limits, and its
// level by limits lowered by the margin.
func rises(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level { return levelOf(v >= l.Critical*share, v >= l.Warning*share) }
	return at(1), at(1 - margin)
}

// falls returns the level of a value that must stay above its limits, and its
// level by limits raised by the margin.
func falls(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level { return levelOf(v < l.Critical*share, v < l.Warning*share) }
	return at(1), at(1 + margin)
}

// levelOf returns the worst level of which the condition holds.
func levelOf(critical, warning bool) Level {
	switch {
	case critical:
		return Critical
	case warning:
		return Warning
	}
	return Healthy
}
