package collectors

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/counts"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
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
	healHolds     = gauge("heal_holds", "Temporary settings of an action that are in force, such as a worker more of scale_workers.", "action")
	healVictims   = counter("heal_victims_total", "Connections, queries, workers, sessions, processes and files to which an action was applied.", "action")
	healSuccess   = gauge("heal_last_success_timestamp_seconds", "Unix time of the last applied action that was verified as successful.", "action")
	healJournal   = gauge("heal_journal_bytes", "Total size of the journal files.")
	healStorm     = gauge("heal_storm_seconds", "Time for which no action begins any more because too few exporters of the fleet were healthy, as far as this exporter knows: since it last requested an action. 0: there is none. Only with healing.coordination.")
	healStorms    = counter("heal_storms_total", "Storms that this exporter began: it found too few exporters of the fleet healthy, and since then nothing begins on any of them. Only with healing.coordination.")
	healBadLines  = counter("heal_journal_bad_lines_total", "Corrupt journal lines that were skipped at startup.")
	healThrottle  = gauge("heal_throttle_ratio", "Share of its requests that an app is asked to shed; 0 with a target, for which resp_http_requests_shed_total has what it shed.", "app")
	controlFiles  = gauge("heal_control_files", "Control files that the exporter has written for apps and not removed yet.")
	controlFaults = counter("heal_control_failures_total", "Control files that could not be written or removed.")
	controlKeys   = gauge("heal_control_keys", "Keys that the exporter has in the Redis of healing.control, by which workers on other hosts are asked what the control file asks of those on this one.")
	controlWrites = counter("heal_control_key_writes_total", "Writes of the keys of healing.control, one a second and app, by outcome: written, held (another exporter writes the key) or failed.", "outcome")
	controlStale  = counter("heal_control_restored_total", "Control files of an exporter that had ended, which were removed at startup.")

	relayAlerts  = counter("heal_relay_alerts_total", "Alerts about other hosts that this exporter received, by outcome. An alert that is counted as accepted or away is counted again later, as delivered or as lost.", "outcome")
	relayEntries = counter("heal_relay_entries_total", "Entries that other exporters relayed to this one, by what became of them.", "outcome")
	relaySends   = counter("heal_relay_sends_total", "Entries that were put on the stream of another exporter, by whether it was the first time.", "kind")
	relayBounds  = counter("heal_relay_bounded_total", "Events at which a limit of the relay was reached.", "bound")
	relayWaiting = gauge("heal_relay_waiting", "Alerts that wait for the acknowledgement of the exporter that they are about.")
	relayOldest  = gauge("heal_relay_oldest_seconds", "Time that the oldest alert has waited for its acknowledgement; 0 if none waits.")
	relayUp      = gauge("heal_relay_up", "Whether the last call to the Redis of the relay succeeded.")

	healDuration = histogram("heal_run_duration_seconds", "Time from the start of the alert to the end of a step that applied an action.")
)

// HealStats are the counters of the webhook and of healing.
type HealStats struct {
	Actions   counts.Stats
	Relay     relay.Stats
	Requests  map[int]uint64     // of the webhook, by status code
	Truncated uint64             // alerts left out of notifications
	Throttles map[string]float64 // percent, by app that is throttled
	Control   control.Stats
	Keys      controlkey.Stats
}

// Heal returns what the healing part of the exporter did; it only reads counters.
type Heal struct{ stats func() HealStats }

// NewHeal returns the collector "heal". stats returns the counters of healing.
func NewHeal(stats func() HealStats) *Heal { return &Heal{stats} }

// Name implements [Collector].
func (*Heal) Name() string { return "heal" }

// Descs implements [Collector].
func (*Heal) Descs() []*prometheus.Desc {
	return descs(healRequests, healTruncated, healAlerts, healRuns, healBlocked, healQueue, healBreaker, healPaused, healMode, healHuman, healAwaiting, healHolds,
		healVictims, healSuccess, healJournal, healStorm, healStorms, healBadLines, healThrottle, controlFiles, controlFaults, controlStale, controlKeys, controlWrites, relayAlerts, relayEntries, relaySends, relayBounds, relayWaiting, relayOldest, relayUp, healDuration, seriesDropped)
}

// Collect implements [Collector]. What is not configured, such as the relay, has no
// metrics. The error is nil.
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
	for action, n := range a.Holds {
		s.add(healHolds, float64(n), action)
	}
	for action, n := range a.Victims {
		s.add(healVictims, float64(n), action)
	}
	for action, at := range a.LastSuccess {
		s.add(healSuccess, float64(at.UnixMilli())/1000, action)
	}
	journaled(&s, &a)
	for app, percent := range h.Throttles {
		s.add(healThrottle, percent/100, app)
	}
	controlled(&s, h.Control, h.Keys)
	relayed(&s, h.Relay)
	s.Metrics = append(s.Metrics, durations(a.Durations))
	return s, nil
}

// controlled adds the metrics of control files to s, and those of control keys if they are
// configured.
func controlled(s *Sample, files control.Stats, keys controlkey.Stats) {
	s.add(controlFiles, float64(files.Files))
	s.add(controlFaults, float64(files.Failures))
	s.add(controlStale, float64(files.Restored))
	if !keys.On {
		return
	}
	s.add(controlKeys, float64(keys.Keys))
	for outcome, n := range keys.Writes {
		s.add(controlWrites, float64(n), string(outcome))
	}
}

// journaled adds the metrics of the journal to s, and those of a storm if there is a fleet.
func journaled(s *Sample, a *counts.Stats) {
	if a.JournalBytes > 0 {
		s.add(healJournal, float64(a.JournalBytes))
	}
	s.add(healBadLines, float64(a.BadLines))
	if a.StormLeft != nil {
		s.add(healStorm, a.StormLeft.Seconds())
		s.add(healStorms, float64(a.Storms))
	}
}

// relayed adds the metrics of the relay to s; nothing if no relay is configured.
func relayed(s *Sample, r relay.Stats) {
	if !r.On {
		return
	}
	for outcome, n := range r.Alerts {
		s.add(relayAlerts, float64(n), string(outcome))
	}
	for outcome, n := range r.Entries {
		s.add(relayEntries, float64(n), string(outcome))
	}
	for bound, n := range r.Bounds {
		s.add(relayBounds, float64(n), string(bound))
	}
	s.add(relaySends, float64(r.Sends-r.Resends), "first")
	s.add(relaySends, float64(r.Resends), "again")
	s.add(relayWaiting, float64(r.Waiting))
	s.add(relayOldest, r.Oldest.Seconds())
	s.add(relayUp, flag(r.Up))
}

// flag returns 1 for true and 0 for false.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// durations returns the metric of run durations: a histogram with cumulative buckets.
func durations(d counts.Durations) Metric {
	buckets := make(map[float64]uint64)
	var sum uint64
	for i, bound := range counts.DurationBounds() {
		if i < len(d.Buckets) {
			sum += d.Buckets[i]
		}
		buckets[bound] = sum
	}
	return runDurations{prometheus.MustNewConstHistogram(healDuration.desc, d.Count, d.Sum, buckets)}
}

// runDurations is a metric of run durations.
type runDurations struct{ prometheus.Metric }

// of implements Metric.
func (runDurations) of() *family { return healDuration }
