package redis

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// WalkOptions are the settings of [NewWalker].
type WalkOptions struct {
	Server   *Server
	Sets     []KeySet
	Interval time.Duration // between the end of one walk and the begin of the next
	Logger   *slog.Logger
}

// Look is how far a [Walker] is with one [KeySet].
type Look struct {
	Tally    *Tally    // of the last full walk; nil: there was none of this server, or it cannot be walked now
	Coverage float64   // share of the keys that the walk under way has seen; 1 between walks
	Since    time.Time // when the last full walk ended; before the first, when the walker was made
	Err      *Error    // why something is not known, or not soon; nil: all is well
}

// Walker counts the keys of one server, or of one cluster, in the background:
// some keys at a time, with long rests, and no faster than one hundredth of the
// server's time allows.
type Walker struct {
	space    keyspace
	interval atomic.Int64
	log      *slog.Logger

	pace map[string]*pace // by node; of the walk's goroutine alone

	mu     sync.Mutex // guards what follows, and the tracks
	tracks []*track
	fault  *Error // why the server cannot be walked
	slow   *Error // why the walk waits
}

// track is what one walk over a server serves, and how it went.
type track struct {
	sets  []KeySet
	match string

	nodes    []node // as last listed
	coverage float64
	since    time.Time
	tallies  []Tally // of the last full walk, one a set; nil: none
	lacks    *Error  // what the server would not tell in it
}

// NewWalker returns a walker; it begins with Run.
func NewWalker(o WalkOptions) *Walker {
	w := &Walker{space: &remote{server: o.Server}, log: logs.Or(o.Logger), pace: make(map[string]*pace)}
	w.SetInterval(o.Interval)
	now := time.Now()
	for _, sets := range group(o.Sets) {
		w.tracks = append(w.tracks, &track{sets: sets, match: matchOf(common(sets)), since: now})
	}
	return w
}

// SetInterval sets how long to wait after a walk, from the next wait on.
func (w *Walker) SetInterval(d time.Duration) { w.interval.Store(int64(d)) }

// Look tells how far the walker is with a set; it reads nothing from the server.
func (w *Walker) Look(set KeySet) Look {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		i := slices.Index(t.sets, set)
		if i < 0 {
			continue
		}
		l := Look{Coverage: t.coverage, Since: t.since, Err: w.fault}
		if w.fault == nil && t.tallies != nil {
			l.Tally = new(t.tallies[i])
		}
		for _, e := range []*Error{w.slow, t.lacks} {
			if l.Err == nil {
				l.Err = e
			}
		}
		return l
	}
	return Look{}
}

// Run walks until ctx ends.
func (w *Walker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, t := range w.tracks {
			w.lap(ctx, t)
		}
		retry.Sleep(ctx, time.Duration(w.interval.Load()))
	}
	return nil
}

// lap does one walk, and outlives a panic in it.
func (w *Walker) lap(ctx context.Context, t *track) {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			w.log.Warn("Scan of the sessions panicked", "err", p, "stack", p.Stack) // the collector reports it as an error
			w.failed(&Error{Reason: reason.Failed, Detail: "could not be walked: a fault of the exporter, which the log has"})
		}
	}()
	w.walk(ctx, t)
}

// failed notes why the server cannot be walked.
func (w *Walker) failed(e *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = e
}
