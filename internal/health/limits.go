package health

import "github.com/resp-exporter/resp-exporter/internal/config"

// rises returns the level of a value that must stay below its limits, and its
// level by limits lowered by the margin.
func rises(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level {
		switch {
		case v >= l.Critical*share:
			return Critical
		case v >= l.Warning*share:
			return Warning
		default:
			return Healthy
		}
	}
	return at(1), at(1 - margin)
}

// falls returns the level of a value that must stay above its limits, and its
// level by limits raised by the margin.
func falls(v float64, l config.Limit) (level, release Level) {
	at := func(share float64) Level {
		switch {
		case v < l.Critical*share:
			return Critical
		case v < l.Warning*share:
			return Warning
		default:
			return Healthy
		}
	}
	return at(1), at(1 + margin)
}
