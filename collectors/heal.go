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
	healRequests  = counter("heal_webhook_requests_total", "Requests to /api/v1/alerts, by the status code of the answer.", "code")
	healTruncated = counter("heal_webhook_truncated_alerts_total", "Alerts that Alertmanager left out of its notifications, by its setting max_alerts.")
	healAlerts    = counter("heal_alerts_total", "Alerts received, by what was decided about them; queued started a run.", "outcome")
	healRuns      = counter("heal_runs_total", "Steps of runs that ended, by how.", "rule", "action", "result")
	healBlocked   = counter("heal_blocked_total", "Alerts and runs that a guard kept from acting.", "guard")
	healQueue     = gauge("heal_queue_length", "Runs that wait to begin.")
	healBreaker   = gauge("heal_breaker_open", "Whether an action rests because it failed too often.", "action")
	healPaused    = gauge("heal_paused", "Whether a person paused healing.")
	healMode      = gauge("heal_mode", "Which mode is in force: 1 for that one. Without its state directory it is off, whatever is configured.", "mode")
	healHuman     = gauge("heal_needs_human", "Whether a rule could not help and calls for a person.", "rule")
	healAwaiting  = gauge("heal_awaiting_approval", "Runs of a rule that wait for a person to approve their plan; each for ten minutes at most.", "rule")
	healVictims   = counter("heal_victims_total", "Connections, queries, workers, sessions and processes that an action was applied to.", "action")
	healSuccess   = gauge("heal_last_success_timestamp_seconds", "When an action was last applied and seen to have helped, in Unix time.", "action")
	healJournal   = gauge("heal_journal_bytes", "Size of the journal's files.")
	healBadLines  = counter("heal_journal_bad_lines_total", "Lines of the journal that were passed over at the start because they are broken.")

	healDuration = histogram("heal_run_duration_seconds", "Time from the alert to the end of a step that acted.")
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
