package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// rulesAll holds a rule for each shipped alert that an outage may bring with it and that
// something could be done about.
func rulesAll() []string {
	return append(slices.Clone(rulePool),
		"    - name: workers", "      match: {alertname: \"~RespWorkersStuck|RespWorkerMemoryLeak\"}", "      cooldown: 60s", "      steps:",
		"        - action: recycle_worker", "          with: {pick: largest, min_age: 5s, "+importCheck+"}", "          verify_within: 60s", "        - action: escalate",
		"    - name: tasks", "      match: {alertname: \"~RespTasksStuck|RespTasksWaiting|RespTaskWorkersMissing\"}", "      cooldown: 60s", "      steps:",
		"        - action: restart_task", "          with: {idempotent: true, min_stuck: 10s}", "          verify_within: 60s", "        - action: escalate",
		"    - name: queries", "      match: {alertname: RespQueryTooLong}", "      cooldown: 60s", "      steps:",
		"        - action: kill_long_queries", "          with: {users: [shop], min_time: 10s, max_victims: 5, procedure: resp_heal.kill_query}", "        - action: escalate",
		"    - name: sessions", "      match: {alertname: \"~RespSessions.*\"}", "      cooldown: 60s", "      steps:",
		"        - action: purge_sessions", "          with: {min_idle: 3s, max_keys: 1000, max_fraction: 1}", "        - action: escalate")
}

// child returns the one process that a supervisor runs, once that is not old.
func child(t *testing.T, p *run.Proc, old int) (pid int) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		pids := procid.Children("/proc", p.PID())
		if len(pids) != 1 || pids[0] == old {
			return fmt.Errorf("%s runs %v", p.Name, pids)
		}
		pid = pids[0]
		return nil
	})
	return pid
}

// TestScenarioRecovery kills every part in turn under load, while its supervisor restarts
// it. It checks that the shop and all metrics return, that healing did nothing meanwhile,
// and that an alert heals afterwards.
func TestScenarioRecovery(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{rules: rulesAll(), wrap: supervisor})
	prometheus, alertmanager, base := h.alertingAt(t)
	l := h.shop.traffic(t, 10, "/products", "/")
	quiet := l.quiet(t)
	for _, c := range []struct {
		what string
		proc *run.Proc // of its supervisor; nil: a worker of the shop
	}{
		{"MariaDB", h.stores.db.Proc()}, {"Redis", h.stores.redis.proc}, {"a worker of the shop", nil}, {"the shop", h.shop.Proc}, {"the worker of the queue", h.stores.rq},
		{"the exporter", h.Proc}, {"Prometheus", prometheus}, {"Alertmanager", alertmanager},
	} {
		if c.proc == h.stores.rq {
			enqueue(t, h.stores, 20) // for it to be killed at
		}
		began := time.Now()
		h.kill(t, c.proc)
		eventually(t, 60*time.Second, func() error { return h.well(t, l, began, base) })
		bad := l.between(began, time.Now())
		t.Logf("%s: all well %s after it was killed; of %d requests %d were not answered with 200", c.what, time.Since(began).Round(100*time.Millisecond), bad.n, bad.bad)
	}
	for _, r := range h.list(t, "") {
		if t.Logf("%s of %s: %s %s", r.Rule, r.Alert.Labels["alertname"], r.State, r.Reason); r.Done > 0 || !r.Applied.IsZero() {
			t.Errorf("something was done: %+v", r)
		}
	}
	h.healsAfter(t, alertmanager, l, quiet)
}

// kill ends at once what a supervisor runs, or a worker of the shop, and waits
// until another process is in its place.
func (h *sick) kill(t *testing.T, p *run.Proc) {
	t.Helper()
	old := 0
	if p != nil {
		old = child(t, p, 0)
	} else {
		old = slices.Min(slices.Collect(maps.Values(h.scrape(t).pids("shop"))))
	}
	signalTo(t, syscall.SIGKILL, old)
	eventually(t, 20*time.Second, func() error { return running(old) })
	if p == nil {
		eventually(t, 20*time.Second, func() error {
			pids := slices.Collect(maps.Values(h.scrape(t).pids("shop")))
			return all(wants("workers", len(pids), 3), wants("the dead one is there", slices.Contains(pids, old), false))
		})
		return
	}
	child(t, p, old)
}

// well returns an error unless all parts run and are reported, and requests that began
// after a time were answered for some seconds.
func (h *sick) well(t *testing.T, l *traffic, began time.Time, prometheus string) error {
	t.Helper()
	from := time.Now().Add(-2 * time.Second)
	if from.Before(began.Add(time.Second)) {
		return errors.New("too early to say")
	}
	if status, _, err := h.get("/metrics"); err != nil || status != http.StatusOK {
		return fmt.Errorf("the exporter: %d, %w", status, err)
	}
	m, now := h.scrape(t), l.between(from, time.Now())
	last, _, err := prom.One(t.Context(), prometheus, `up{job="resp"} == 1 and (time() - timestamp(up{job="resp"})) < 3`)
	return all(err, wants("seen by Prometheus", last, 1),
		m.want(1, "resp_up", "component=app:shop"), m.want(1, "resp_up", "component=mysql:main"), m.want(1, "resp_up", "component=redis:cache"),
		m.want(3, "resp_app_workers", "app=shop"), m.between(1, 5, "resp_task_workers", "app=shop"), // those that were killed are in Redis for some minutes
		m.want(1, "resp_collector_available", "collector=mysql"), m.want(1, "resp_collector_available", "collector=redis"),
		wants("jobs that wait", h.stores.redis.cli("LLEN", "rq:queue:default"), "0"),
		wants("requests that fail", now.bad, 0), wants("requests", now.n > 5, true))
}

// healsAfter leaks connections and waits until the shipped rule found it, and it is healed;
// customers are served as by the quiet app all the while.
func (h *sick) healsAfter(t *testing.T, alertmanager *run.Proc, l *traffic, quiet latency) {
	t.Helper()
	from := time.Now()
	untold(t, alertmanager, func() { // or the first ones may end before the last one leaks
		h.leak(t, 6)
		eventually(t, 20*time.Second, func() error { return h.scrape(t).want(6, "resp_pool_connections", "app=shop", "state=leaked") })
	})
	if last := h.becomes(t, 120*time.Second, "pool", "verified"); last.Done != 6 {
		t.Errorf("done %d", last.Done)
	}
	eventually(t, 30*time.Second, func() error { return wants("enough requests", l.between(from, time.Now()).n >= 60, true) })
	l.end()
	after := l.between(from, time.Now())
	if after.bad > 0 {
		t.Errorf("%d of %d requests were not answered with 200, first %+v", after.bad, after.n, after.worst)
	}
	after.likeQuiet(t, "when all had come back", quiet)
	eventually(t, 20*time.Second, func() error { // that of the action is closed
		n := sessionsOf(t, h.stores.db)
		return wants(fmt.Sprintf("at most one connection of the exporter (%d)", n), n <= 1, true)
	})
}
