// Package past has what the page shows of the past of an app: the last hour, a moment, where
// the time goes, incidents and last words.
package past

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
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

// None is the [History] of an exporter without one.
type None struct{}

// Strip implements [History]: it returns no buckets.
func (None) Strip(app string, from, to time.Time, _ int) history.Strip {
	return history.Strip{App: app, From: from, To: to, Step: time.Second}
}

// Top implements [History]: it returns no rows.
func (None) Top(app string, from, to time.Time, _ int) history.Top {
	return history.Top{App: app, From: from, To: to}
}

// At implements [History]: it returns the zero Moment, which has no sample.
func (None) At(string, time.Time, int) history.Moment { return history.Moment{} }

// Kept implements [History]: it returns the zero value, which means that no history is
// kept.
func (None) Kept() history.Kept { return history.Kept{} }

// Incidents implements [History]: it returns nil.
func (None) Incidents(int) []model.Incident { return nil }

// LastWords implements [History]: it returns nil.
func (None) LastWords(int) []model.LastWords { return nil }

// Views makes the views of the past. It keeps nothing.
type Views struct {
	history History
	spent   *charts.Spent
	now     func() time.Time
}

// New returns the views of a history, and of what views spend time on; spent may be nil.
func New(h History, spent *charts.Spent, now func() time.Time) *Views {
	return &Views{h, spent, now}
}
