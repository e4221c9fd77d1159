package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/firing"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/health"
)

// healingSample returns a sample with one of everything.
func healingSample() heal.Snapshot {
	plan := &action.Plan{
		Action: "kill_leaked_connections", Target: "app:shop/pool:main", Summary: "end 3 of 15 connections of pool main of shop", Total: 3,
		Victims: []action.Victim{{Kind: "connection", ID: "812"}, {Kind: "connection", ID: "815"}},
	}
	run := func(n int, state journal.Decision, reason string) journal.Run {
		at := moment.Add(-time.Duration(n) * time.Minute)
		return journal.Run{
			ID: fmt.Sprintf("r-%d", n), Rule: "leaked-connections", State: state, Reason: reason, Created: at, Updated: at.Add(4 * time.Second),
			Action: "kill_leaked_connections", Target: "app:shop/pool:main",
		}
	}
	asks := run(1, journal.DecisionAwaiting, plan.Summary)
	asks.Plan = plan
	asks.Plan.ID = "0123456789abcdef"
	climbed := run(3, journal.DecisionVerified, "")
	climbed.Action, climbed.Target, climbed.Applied, climbed.Done = "recycle_worker", "app:shop/workers", climbed.Created.Add(time.Second), 1
	climbed.Plan = &action.Plan{Action: "recycle_worker", Target: "app:shop/workers", Summary: "recycle worker 2 of 4 of shop", Total: 1, Victims: []action.Victim{{Kind: "worker", ID: "2", Info: map[string]string{"pid": "4711"}}}}
	climbed.Before = []journal.StepResult{{Action: "kill_leaked_connections", Target: "app:shop/pool:main", Result: journal.DecisionFailed, Reason: "no improvement within 1m0s", Summary: plan.Summary, Done: 3}}
	s := heal.Snapshot{
		Mode: "enforce", Used: true, Approve: true, Queue: 1, Awaiting: 1, Human: []string{"sessions"}, Breakers: []string{"purge_sessions"},
		Paused:    &journal.Pause{Reason: "deploy", By: "ann", Since: moment.Add(-time.Minute), Until: moment.Add(time.Hour)},
		Holds:     []action.Hold{{Action: "scale_workers", Target: "app:shop/workers", Since: moment.Add(-2 * time.Minute), From: 4, To: 5}},
		Throttles: []heal.Throttled{{App: "shop", Percent: 30, Since: moment.Add(-time.Minute), Until: moment.Add(time.Minute)}, {App: "till", Since: moment, Until: moment.Add(time.Minute)}},
		Relay:     &relay.Summary{Waiting: 2, Missing: []relay.Missing{{Host: "web-7:9868", Alert: "RespPoolLeak", Alerts: 3}}},
		Firing: []firing.Alert{
			{Name: "RespPoolLeak", Severity: "critical", Summary: "3 connections of shop are leaked", Since: moment.Add(-5 * time.Minute), Labels: map[string]string{"app": "shop"}},
			{Name: "DiskFull", Severity: "warning", Since: moment.Add(-time.Minute), Labels: map[string]string{}},
		},
		Runs: []journal.Run{asks, run(2, journal.DecisionDryRun, "would "+plan.Summary), climbed},
	}
	for i := range 8 {
		s.Runs = append(s.Runs, run(10+i, journal.DecisionCleared, "the condition no longer holds, nothing to do"))
	}
	return s
}

// An alert of Alertmanager is among the alerts of its app.
func TestReportedAlerts(t *testing.T) {
	o := options(troubleSample())
	o.Healing = healingSample
	var got struct {
		Health health.Status
		Apps   []struct{ Health health.Status }
	}
	if err := json.Unmarshal(get(t, serve(o), "/api/v1/status").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	names := func(s health.Status) string {
		var out []string
		for _, a := range s.Alerts {
			if a.Component == "alertmanager" {
				out = append(out, a.Name+" "+a.Severity.String())
			}
		}
		return strings.Join(out, ", ")
	}
	if a, b := names(got.Apps[0].Health), names(got.Health); a != "RespPoolLeak critical" || b != "DiskFull warning" {
		t.Errorf("the app has %q, the host %q", a, b)
	}
}

// The page has no section on healing if healing is not configured, and hostile names are
// escaped.
func TestHealingOnThePage(t *testing.T) {
	o := options(fullSample())
	o.Healing = func() heal.Snapshot { return heal.Snapshot{Mode: "dry_run"} }
	if page := get(t, serve(o), "/").Body.String(); strings.Contains(page, "<h2>Healing</h2> <b") || strings.Contains(page, "No run yet") {
		t.Error("it is there without being used")
	}
	const evil = `<script>alert("1")</script>`
	o.Healing = func() heal.Snapshot {
		s := healingSample()
		s.Firing[0].Name, s.Firing[0].Summary, s.Paused.Reason = evil, evil, evil
		s.Runs[0].Reason, s.Runs[0].Rule, s.Runs[0].Plan.Summary = evil, evil, evil
		return s
	}
	if page := get(t, serve(o), "/").Body.String(); strings.Contains(page, evil) || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("a label is on the page as it came")
	}
}
