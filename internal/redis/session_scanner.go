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

// ScannerOptions are the settings of [NewSessionScanner].
type ScannerOptions struct {
	Server   *Server
	Sets     []KeySet
	Interval time.Duration // between the end of one scan and the begin of the next
	Logger   *slog.Logger
}

// SessionStatus is the progress and the result of the scans of one [KeySet].
type SessionStatus struct {
	Counts   *SessionCounts // of the last full scan; nil: there was none of this server, or it cannot be scanned now
	Coverage float64        // share of the keys that the scan under way has seen; 1 between scans
	Since    time.Time      // when the last full scan ended; before the first, when the scanner was made
	Err      *Error         // why something is not known, or not soon; nil: all is well
}

// SessionScanner counts the keys of one server, or of one cluster, in the
// background: some keys at a time, with pauses, in at most one hundredth of the
// server's time.
type SessionScanner struct {
	space    keyspace
	interval atomic.Int64
	log      *slog.Logger

	throttles map[string]*throttle // by node; of the scan's goroutine alone

	mu     sync.Mutex // guards what follows, and the groups
	groups []*prefixGroup
	fault  *Error // why the server cannot be scanned
	slow   *Error // why the scan waits
}

// prefixGroup is the sets that one scan serves, and the result of the last
// scan.
type prefixGroup struct {
	sets  []KeySet
	match string

	nodes    []node // as last listed
	coverage float64
	since    time.Time
	results  []SessionCounts // of the last full scan, one a set; nil: none
	lacks    *Error          // what the server would not tell in it
}

// NewSessionScanner returns a scanner; it starts with Run.
func NewSessionScanner(o ScannerOptions) *SessionScanner {
	w := &SessionScanner{space: &serverKeyspace{server: o.Server}, log: logs.Or(o.Logger), throttles: make(map[string]*throttle)}
	w.SetInterval(o.Interval)
	now := time.Now()
	for _, sets := range groupByFirstByte(o.Sets) {
		w.groups = append(w.groups, &prefixGroup{sets: sets, match: scanPattern(commonPrefix(sets)), since: now})
	}
	return w
}

// SetInterval sets the pause between two scans, from the next one on.
func (w *SessionScanner) SetInterval(d time.Duration) { w.interval.Store(int64(d)) }

// Status returns the status of a set; it reads nothing from the server.
func (w *SessionScanner) Status(set KeySet) SessionStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.groups {
		i := slices.Index(t.sets, set)
		if i < 0 {
			continue
		}
		l := SessionStatus{Coverage: t.coverage, Since: t.since, Err: w.fault}
		if w.fault == nil && t.results != nil {
			l.Counts = new(t.results[i])
		}
		for _, e := range []*Error{w.slow, t.lacks} {
			if l.Err == nil {
				l.Err = e
			}
		}
		return l
	}
	return SessionStatus{}
}

// Run scans until ctx ends.
func (w *SessionScanner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, t := range w.groups {
			w.scanOnce(ctx, t)
		}
		retry.Sleep(ctx, time.Duration(w.interval.Load()))
	}
	return nil
}

// scanOnce scans a group once, and recovers from a panic.
func (w *SessionScanner) scanOnce(ctx context.Context, t *prefixGroup) {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			w.log.Warn("Session scan panicked", "err", p, "stack", p.Stack) // the collector reports it as an error
			w.failed(&Error{Reason: reason.Failed, Detail: "could not be scanned: internal error, see the exporter's log"})
		}
	}()
	w.scanGroup(ctx, t)
}

// failed records why the server cannot be scanned.
func (w *SessionScanner) failed(e *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = e
}
