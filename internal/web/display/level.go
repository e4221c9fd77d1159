package display

import "github.com/resp-exporter/resp-exporter/internal/health"

// Level is a health level; unlike health.Level it may be unknown.
type Level int

// The levels, from the one of which nothing is known to the worst.
const (
	LevelUnknown Level = iota
	LevelHealthy
	LevelWarning
	LevelCritical
)

// String returns the name of the level, e.g. "warning".
func (l Level) String() string { return [...]string{"unknown", "healthy", "warning", "critical"}[l] }

// LevelOf returns the level to display for a level of health.
func LevelOf(l health.Level) Level { return LevelHealthy + Level(l) }
