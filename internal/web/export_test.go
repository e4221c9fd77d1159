package web

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The pure parts, for tests from outside.
var (
	FormatBytes   = health.FormatBytes
	FormatSeconds = health.FormatSeconds
	FormatPercent = health.FormatPercent
	FormatCount   = health.FormatCount
	FormatRate    = health.FormatRate
	Exact         = health.Exact
	InPast        = inPast
	AlertOf       = alertOf
)

// Verdict returns the level, sentence and key of the verdict on r.
func Verdict(r *model.State, j health.Evaluation, now time.Time) (level, sentence, key string) {
	s := assemble(r, j)
	v := s.verdict(now)
	return v.Level.String(), v.Sentence, v.Key
}

// Ended returns the problems that ended lately, as the page shows them.
func Ended(r *model.State, j health.Evaluation, now time.Time) []string {
	s := assemble(r, j)
	return s.verdict(now).Ended
}
