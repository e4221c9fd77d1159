package web

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// History is what the exporter remembers of the apps. Its methods read memory
// alone, and may be called by several goroutines. An app "" is all of them; a zero time
// is the first or the last sample.
type History interface {
	// Strip returns what the requests of an app did over a time, in at most so many
	// buckets.
	Strip(app string, from, to time.Time, buckets int) history.Strip
	// Top returns the views, lines and waits of the requests of an app over a time, at
	// most so many.
	Top(app string, from, to time.Time, limit int) history.Top
	// At returns what the requests of an app did at the sample nearest to a time, at
	// most 10 s away, at most so many requests.
	At(app string, at time.Time, limit int) history.Moment
	// Kept returns what the history holds.
	Kept() history.Kept
	// Incidents returns the last incidents, the newest first; 0: all that are kept.
	Incidents(limit int) []model.Incident
	// LastWords returns the last words of workers, the newest first; 0: all that are kept.
	LastWords(limit int) []model.LastWords
}
