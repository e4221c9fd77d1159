package heal

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// maxSeries bounds the combinations that are counted: rules may come and go
// with each reload.
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

// DurationBounds returns the upper bounds of the buckets, in seconds.
func DurationBounds() []float64 { return []float64{1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1800} }

// Stats are the counters of a [Runner], since its start.
type Stats struct {
	Alerts      map[journal.Decision]uint64
	Blocked     map[journal.Decision]uint64 // by guard; alerts and runs that were to begin
	Runs        map[RunKey]uint64
	Dropped     uint64 // counts of Runs for which there was no room
	BadLines    uint64 // of the journal, passed over at the start
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
	JournalBytes int64          // 0: there is no journal
}

// counters have the counters of [Stats], which only grow.
type counters struct {
	mu sync.Mutex
	s  Stats
}

func newCounters() *counters {
	c := &counters{s: Stats{
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

func (c *counters) countAlert(d journal.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Alerts[d]++
	c.countBlocked(d)
}

func (c *counters) countBlocked(d journal.Decision) {
	if _, guard := c.s.Blocked[d]; guard {
		c.s.Blocked[d]++
	}
}

// countStep counts one step of a run.
func (c *counters) countStep(k RunKey, done int, at time.Time) {
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

func (c *counters) observe(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(DurationBounds(), d.Seconds())
	c.s.Durations.Buckets[i]++
	c.s.Durations.Sum += d.Seconds()
	c.s.Durations.Count++
}

// countBadLines counts lines of the journal that were passed over.
func (c *counters) countBadLines(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.BadLines += uint64(n) //nolint:gosec // a count
}

func (c *counters) copy() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Alerts, s.Blocked, s.Runs = maps.Clone(s.Alerts), maps.Clone(s.Blocked), maps.Clone(s.Runs)
	s.Victims, s.LastSuccess = maps.Clone(s.Victims), maps.Clone(s.LastSuccess)
	s.Durations.Buckets = slices.Clone(s.Durations.Buckets)
	return s
}

// initialize sets the results of a step that have not occurred to 0: increase() does not
// count the first event of a series that begins with it.
func (s *Stats) initialize(rule, action string, hasNext bool) {
	results := []journal.Decision{journal.DecisionVerified, journal.DecisionFailed, journal.DecisionRefused, journal.DecisionUnplanned, journal.DecisionCleared, journal.DecisionDryRun}
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
