package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestScenarioTasks makes a job hang in the only worker while two hundred others wait. It
// checks that no request fails, that the shipped rule fires and the supervisor replaces the
// worker, and that a second set of jobs is done meanwhile.
func TestScenarioTasks(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{
		more: []string{"thresholds: {task_age: {warning: 4, critical: 60}}"},
		rules: []string{
			"    - name: tasks", "      match: {alertname: RespTasksStuck}", "      cooldown: 60s", "      steps:",
			"        - action: restart_task", "          with: {idempotent: true, min_stuck: 4s}", "          verify_within: 60s", "        - action: escalate",
		},
	})
	_, alertmanager := h.alerting(t)
	l := h.shop.traffic(t, 10, "/products", "/", "/products/1")
	quiet := l.quiet(t)
	fault := time.Now()
	r, before := h.stores.redis, ""
	untold(t, alertmanager, func() { // or the worker may be replaced before all jobs wait
		if status := h.shop.get("/fault/stuck-job?s=600"); status != http.StatusAccepted {
			t.Fatalf("status %d", status)
		}
		eventually(t, 20*time.Second, func() error { return wants("jobs under way", r.cli("ZCARD", "rq:wip:default"), "1") })
		before = r.cli("SMEMBERS", "rq:workers")
		enqueue(t, h.stores, 200)
		if n := r.cli("LLEN", "rq:queue:default"); n != "200" {
			t.Errorf("%s jobs wait", n)
		}
	})
	last := h.becomes(t, 120*time.Second, "tasks", "verified")
	t.Logf("verified %s after the fault", time.Since(fault).Round(time.Second))
	if last.Done != 1 || len(last.Plan.Victims) != 1 {
		t.Errorf("done %d: %+v", last.Done, last.Plan)
	}
	// The jobs are done one after the other, each in a process of its own.
	eventually(t, 30*time.Second, func() error {
		return wants("jobs are done", r.cli("LLEN", "rq:queue:default") < "200" || len(r.cli("LLEN", "rq:queue:default")) < 3, true)
	})
	eventually(t, 20*time.Second, func() error {
		after := r.cli("SMEMBERS", "rq:workers")
		return wants("the worker "+before+" is one of "+after, strings.Contains(after, before), false)
	})
	busy := time.Now()
	eventually(t, 30*time.Second, func() error { return wants("requests since", l.between(busy, time.Now()).n > 40, true) })
	l.end()
	during := l.between(fault, time.Now())
	if during.bad > 0 {
		t.Errorf("%d of %d requests were not answered with 200, first %+v", during.bad, during.n, during.worst)
	}
	during.likeQuiet(t, "while jobs hung, waited and were done", quiet)
	if log := r.cli("ACL", "LOG"); strings.Contains(log, redisUser) {
		t.Errorf("refused: %s", log)
	}
}

// enqueue enqueues n jobs that write an order each, as the shop does.
func enqueue(t *testing.T, s shopStored, n int) {
	t.Helper()
	p := startPython(t, s, fmt.Sprintf("import stores, rq\nq = rq.Queue('default', connection=stores.cache())\nfor _ in range(%d): q.enqueue('jobs.write_order', {'1': 1}, job_timeout=60, result_ttl=60)", n))
	select {
	case <-p.Done():
	case <-time.After(scaled(60 * time.Second)):
		t.Fatal("jobs cannot be left")
	}
}
