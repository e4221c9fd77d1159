package web

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// The pure parts, for tests from outside.
var (
	FormatBytes   = formatBytes
	FormatSeconds = formatSeconds
	FormatPercent = formatPercent
	FormatCount   = formatCount
	FormatRate    = formatRate
	Exact         = exact
	TrendText     = trendText
)

// Judge returns the level, sentence and key of the verdict about r.
func Judge(r health.Readings, at, now time.Time) (level, sentence, key string) {
	v := judge(observe(r, at), now)
	return v.Level.String(), v.Sentence, v.Key
}

// Trend is the trend of a worker's memory, in bytes per second.
func (h *History) Trend(app, slot string) (float64, bool) { return h.trend(app, slot) }
