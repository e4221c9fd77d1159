package collectors

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
)

var (
	healRequests  = counter("heal_webhook_requests_total", "Requests to /api/v1/alerts, by status code of the response.", "code")
	healTruncated = counter("heal_webhook_truncated_alerts_total", "Alerts that Alertmanager removed from its notifications because of max_alerts.")
	healAlerts    = counter("heal_alerts_total", "Received alerts, by decision; queued means that a run was started.", "outcome")
	healRuns      = counter("heal_runs_total", "Finished steps of runs, by result.", "rule", "action", "result")
	healBlocked   = counter("heal_blocked_total", "Alerts and runs that a guard blocked.", "guard")
	healQueue     = gauge("heal_queue_length", "Runs that wait in the queue.")
	healBreaker   = gauge("heal_breaker_open", "Whether the breaker of an action is open (1) because the action failed too often.", "action")
	healPaused    = gauge("heal_paused", "Whether healing is paused by an operator (1).")
	healMode      = gauge("heal_mode", "Current mode of healing: 1 for the current one, else 0. Without a usable state directory the mode is off.", "mode")
	healHuman     = gauge("heal_needs_human", "Whether the rule failed and an operator is needed (1).", "rule")
	healAwaiting  = gauge("heal_awaiting_approval", "Runs of a rule that wait for an operator to approve their plan, at most ten minutes each.", "rule")
	healVictims   = counter("heal_victims_total", "Connections, queries, workers, sessions and processes to which an action was applied.", "action")
	healSuccess   = gauge("heal_last_success_timestamp_seconds", "Unix time of the last applied action that was verified as successful.", "action")
	healJournal   = gauge("heal_journal_bytes", "Total size of the journal files.")
	healBadLines  = counter("heal_journal_bad_lines_total", "Corrupt journal lines that were skipped at startup.")

	healDuration = histogram("heal_run_duration_seconds", "Time from the start of the alert to the end of a step that applied an action.")
)

// HealStats are the counters of the webhook and of healing.
type HealStats struct {
	Actions   heal.Stats
	Requests  map[int]uint64 // of the webhook, by status code
	Truncated uint64         // alerts left out of notifications
}

// Heal returns what the healing part of the exporter did; it only reads counters.
type Heal struct{ stats func() HealStats }

// NewHeal returns the collector "heal".
func NewHeal(stats func() HealStats) *Heal { return &Heal{stats} }

// Name implements [Collector].
func (*Heal) Name() string { return "heal" }

// Descs implements [Collector].
func (*Heal) Descs() []*prometheus.Desc {
	return descs(healRequests, healTruncated, healAlerts, healRuns, healBlocked, healQueue, healBreaker, healPaused, healMode, healHuman, healAwaiting,
		healVictims, healSuccess, healJournal, healBadLines, healDuration, seriesDropped)
}

// Collect implements [Collector].
func (c *Heal) Collect(context.Context) (Sample, error) {
	var s Sample
	h := c.stats()
	a := h.Actions
	for code, n := range h.Requests {
		s.add(healRequests, float64(n), strconv.Itoa(code))
	}
	s.add(healTruncated, float64(h.Truncated))
	for d, n := range a.Alerts {
		s.add(healAlerts, float64(n), string(d))
	}
	for d, n := range a.Blocked {
		s.add(healBlocked, float64(n), string(d))
	}
	for k, n := range a.Runs {
		s.add(healRuns, float64(n), k.Rule, k.Action, string(k.Result))
	}
	s.add(seriesDropped, float64(a.Dropped), healRuns.name)
	s.add(healQueue, float64(a.Queue))
	s.add(healPaused, flag(a.Paused))
	for _, mode := range []string{config.HealOff, config.HealDryRun, config.HealEnforce} {
		s.add(healMode, flag(a.Mode == mode), mode)
	}
	for _, action := range slices.Sorted(maps.Keys(a.Breakers)) {
		s.add(healBreaker, flag(a.Breakers[action]), action)
	}
	for rule, needs := range a.NeedsHuman {
		s.add(healHuman, flag(needs), rule)
	}
	for rule, n := range a.Awaiting {
		s.add(healAwaiting, float64(n), rule)
	}
	for action, n := range a.Victims {
		s.add(healVictims, float64(n), action)
	}
	for action, at := range a.LastSuccess {
		s.add(healSuccess, float64(at.UnixMilli())/1000, action)
	}
	if a.JournalBytes > 0 {
		s.add(healJournal, float64(a.JournalBytes))
	}
	s.add(healBadLines, float64(a.BadLines))
	s.Metrics = append(s.Metrics, durations(a.Durations))
	return s, nil
}

// flag returns 1 for true and 0 for false.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// durations returns the histogram of run durations, with cumulative buckets.
func durations(d heal.Durations) prometheus.Metric {
	buckets := make(map[float64]uint64)
	var sum uint64
	for i, bound := range heal.DurationBounds() {
		if i < len(d.Buckets) {
			sum += d.Buckets[i]
		}
		buckets[bound] = sum
	}
	return prometheus.MustNewConstHistogram(healDuration.desc, d.Count, d.Sum, buckets)
}
