// Package sessions counts the sessions that apps keep in a Redis, and cleans up
// those that never expire.
package sessions

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// ScannerOptions are the settings of [NewScanner].
type ScannerOptions struct {
	Server   *redis.Server
	Sets     []KeySet
	Interval time.Duration // between the end of one scan and the begin of the next
	Logger   *slog.Logger
}

// Status is the progress and the result of the scans of one [KeySet].
type Status struct {
	Counts   *Counts      // of the last full scan; nil: there was none of this server, or it cannot be scanned now
	Coverage float64      // share of the keys that the scan under way has seen; 1 between scans
	Since    time.Time    // when the last full scan ended; before the first, when the scanner was made
	Err      *redis.Error // why something is not known, or not soon; nil: all is well
}

// Scanner counts the keys of one server, or of one cluster, in the
// background: some keys at a time, with pauses, in at most one hundredth of the
// server's time.
type Scanner struct {
	space    keyspace
	interval atomic.Int64
	log      *slog.Logger

	throttles map[string]*throttle // by node; of the scan's goroutine alone

	mu     sync.Mutex // guards what follows, and the groups
	groups []*prefixGroup
	fault  *redis.Error // why the server cannot be scanned
	slow   *redis.Error // why the scan waits
}

// prefixGroup is the sets that one scan serves, and the result of the last
// scan.
type prefixGroup struct {
	sets  []KeySet
	match string

	nodes    []node // as last listed
	coverage float64
	since    time.Time
	results  []Counts     // of the last full scan, one a set; nil: none
	lacks    *redis.Error // what the server would not tell in it
}

// NewScanner returns a scanner; it starts with Run.
func NewScanner(o ScannerOptions) *Scanner {
	w := &Scanner{space: &serverKeyspace{server: o.Server}, log: logs.Or(o.Logger), throttles: make(map[string]*throttle)}
	w.SetInterval(o.Interval)
	now := time.Now()
	for _, sets := range groupByFirstByte(o.Sets) {
		w.groups = append(w.groups, &prefixGroup{sets: sets, match: redis.KeyPattern(commonPrefix(sets)), since: now})
	}
	return w
}

// SetInterval sets the pause between two scans, from the next one on.
func (w *Scanner) SetInterval(d time.Duration) { w.interval.Store(int64(d)) }

// Status returns the status of a set; zero for a set that is not scanned. It reads
// nothing from the server.
func (w *Scanner) Status(set KeySet) Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.groups {
		i := slices.Index(t.sets, set)
		if i < 0 {
			continue
		}
		l := Status{Coverage: t.coverage, Since: t.since, Err: w.fault}
		if w.fault == nil && t.results != nil {
			l.Counts = new(t.results[i])
		}
		for _, e := range []*redis.Error{w.slow, t.lacks} {
			if l.Err == nil {
				l.Err = e
			}
		}
		return l
	}
	return Status{}
}

// Run scans until ctx ends, and then returns nil.
func (w *Scanner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, t := range w.groups {
			w.scanOnce(ctx, t)
		}
		retry.Sleep(ctx, time.Duration(w.interval.Load()))
	}
	return nil
}

// scanOnce scans a group once. A panic is logged and recorded as the scanner's fault.
func (w *Scanner) scanOnce(ctx context.Context, t *prefixGroup) {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			w.log.Warn("Session scan panicked", "err", p, "stack", p.Stack) // the collector reports it as an error
			w.failed(&redis.Error{Reason: reason.Failed, Detail: "could not be scanned: internal error, see the exporter's log"})
		}
	}()
	w.scanGroup(ctx, t)
}
