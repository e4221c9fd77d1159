// Package counts has the counters of healing: alerts by decision, runs by result, how long
// they took.
package counts

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// maxSeries bounds the combinations that are counted: rules may come and go with each reload.
const maxSeries = 1000

// RunKey is what runs are counted by: one step of a rule, and how it ended.
type RunKey struct {
	Rule, Action string
	Result       journal.Decision
}

// Durations counts how long runs took that did something, in buckets that end
// at [DurationBounds]; the last one is all the rest.
type Durations struct {
	Buckets []uint64 // not cumulative
	Sum     float64  // seconds
	Count   uint64
}

// DurationBounds returns the upper bounds of the buckets, in seconds, rising.
func DurationBounds() []float64 { return []float64{1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1800} }

// Stats are the counters of a runner, since its start.
type Stats struct {
	Alerts      map[journal.Decision]uint64
	Blocked     map[journal.Decision]uint64 // by guard; alerts and runs that were to begin
	Runs        map[RunKey]uint64
	Dropped     uint64 // counts of Runs for which there was no room
	BadLines    uint64 // of the journal, passed over at the start
	Storms      uint64 // that this exporter began
	Durations   Durations
	Victims     map[string]uint64    // by action
	LastSuccess map[string]time.Time // by action

	// As it is now.
	Queue        int
	Breakers     map[string]bool // by action; true: open
	Paused       bool
	Mode         string // in force
	NeedsHuman   map[string]bool
	Awaiting     map[string]int // runs that wait for approval, by rule
	Holds        map[string]int // temporary settings in force, by action
	JournalBytes int64          // 0: there is no journal
	StormLeft    *time.Duration // for which nothing begins, for the fleet's sake; nil: without a fleet
}

// Counters has the counters of [Stats], which only grow. Its methods may be called by
// several goroutines.
type Counters struct {
	mu sync.Mutex
	s  Stats
}

// New returns counters that are 0.
func New() *Counters {
	c := &Counters{s: Stats{
		Alerts: make(map[journal.Decision]uint64), Blocked: make(map[journal.Decision]uint64), Runs: make(map[RunKey]uint64),
		Durations: Durations{Buckets: make([]uint64, len(DurationBounds())+1)},
		Victims:   make(map[string]uint64), LastSuccess: make(map[string]time.Time),
	}}
	for _, d := range journal.AlertDecisions() {
		c.s.Alerts[d] = 0
	}
	for _, d := range journal.Guards() {
		c.s.Blocked[d] = 0
	}
	return c
}

// Alert counts the decision on one alert.
func (c *Counters) Alert(d journal.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Alerts[d]++
	c.countBlocked(d)
}

// countBlocked counts a decision if it is that of a guard.
func (c *Counters) countBlocked(d journal.Decision) {
	if _, guard := c.s.Blocked[d]; guard {
		c.s.Blocked[d]++
	}
}

// Step counts one step of a run.
func (c *Counters) Step(k RunKey, done int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countBlocked(k.Result)
	if done > 0 {
		c.s.Victims[k.Action] += uint64(done)
	}
	if k.Result == journal.DecisionVerified {
		c.s.LastSuccess[k.Action] = at
	}
	if _, ok := c.s.Runs[k]; !ok && len(c.s.Runs) >= maxSeries {
		c.s.Dropped++
		return
	}
	c.s.Runs[k]++
}

// Observe counts how long a step took that acted.
func (c *Counters) Observe(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(DurationBounds(), d.Seconds())
	c.s.Durations.Buckets[i]++
	c.s.Durations.Sum += d.Seconds()
	c.s.Durations.Count++
}

// Storm counts a storm that this exporter began.
func (c *Counters) Storm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Storms++
}

// BadLines adds n to the lines of the journal that were skipped.
func (c *Counters) BadLines(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.BadLines += uint64(n) //nolint:gosec // a count
}

// Copy returns a copy of the counters as they are now. The fields of [Stats] that are "as
// it is now" are not set.
func (c *Counters) Copy() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Alerts, s.Blocked, s.Runs = maps.Clone(s.Alerts), maps.Clone(s.Blocked), maps.Clone(s.Runs)
	s.Victims, s.LastSuccess = maps.Clone(s.Victims), maps.Clone(s.LastSuccess)
	s.Durations.Buckets = slices.Clone(s.Durations.Buckets)
	return s
}

// Initialize adds 0 to each result that a step can have, so that its series exists:
// increase() does not count the first event of a series that begins with it.
func (s *Stats) Initialize(rule, action string, hasNext bool) {
	results := []journal.Decision{journal.DecisionVerified, journal.DecisionFailed, journal.DecisionRefused, journal.DecisionUnplanned, journal.DecisionUnavailable, journal.DecisionCleared, journal.DecisionDryRun}
	switch {
	case action == config.ActionEscalate:
		results = []journal.Decision{journal.DecisionEscalated}
	case hasNext:
		results = append(results, journal.DecisionStepFailed)
	}
	for _, d := range results {
		s.Runs[RunKey{rule, action, d}] += 0
	}
	if action != config.ActionEscalate {
		s.Victims[action] += 0
	}
}
