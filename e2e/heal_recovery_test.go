package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/proc"
)

// killed ends at once what a supervisor runs, or one of its kind.
func killed(t *testing.T, p *run.Proc) {
	t.Helper()
	var pids []int
	eventually(t, 20*time.Second, func() error {
		if pids = proc.Children("/proc", p.PID()); len(pids) != 1 {
			return fmt.Errorf("%s runs %v", p.Name, pids)
		}
		return nil
	})
	signalTo(t, syscall.SIGKILL, pids[0])
	eventually(t, 20*time.Second, func() error { return running(pids[0]) })
}

// Each server is killed and comes back, by its supervisor or as a crashed host
// does, and nobody puts a hand on anything else: the shop serves as before, all
// is seen again, nothing was done that nobody had to do, and then an alert still
// heals, through the whole chain.
func TestScenarioRecovery(t *testing.T) {
	t.Parallel()
	h := startSick(t, sickness{rules: rulePool, wrap: supervisor})
	prometheus, alertmanager := h.alerting(t)
	l := h.shop.traffic(t, 10, "/products", "/")
	quiet := l.quiet(t)
	well := func() error {
		status, _, err := h.get("/metrics")
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("the exporter: %d, %w", status, err)
		}
		m := h.scrape(t)
		from := time.Now().Add(-2 * time.Second)
		now := l.between(from, time.Now())
		return all(
			m.want(1, "resp_up", "component=app:shop"), m.want(1, "resp_up", "component=mysql:main"), m.want(1, "resp_up", "component=redis:cache"),
			m.want(3, "resp_app_workers", "app=shop"), m.want(1, "resp_task_workers", "app=shop"),
			wants("requests that fail", now.bad, 0), wants("requests", now.n > 5, true))
	}
	r, db := h.stores.redis, h.stores.db
	for _, c := range []struct {
		what string
		kill func()
	}{
		{"MariaDB", func() {
			db.Kill()
			time.Sleep(time.Second)
			if err := db.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"Redis", func() {
			kept := r.cli("ACL", "LIST")
			if err := r.proc.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-r.proc.Done()
			time.Sleep(time.Second)
			r.start()
			shopUsers(r, sessionRights, rqRights, purgeRights)
			if now := r.cli("ACL", "LIST"); len(now) != len(kept) {
				t.Fatalf("users of Redis are %s, were %s", now, kept)
			}
		}},
		{"a worker of the shop", func() {
			for _, pid := range h.scrape(t).pids("shop") {
				signalTo(t, syscall.SIGKILL, pid)
				return
			}
		}},
		{"the shop", func() { killed(t, h.shop.Proc) }},
		{"the worker of the queue", func() { killed(t, h.stores.rq) }},
		{"the exporter", func() { killed(t, h.Proc) }},
		{"Prometheus", func() { killed(t, prometheus) }},
		{"Alertmanager", func() { killed(t, alertmanager) }},
	} {
		c.kill()
		began := time.Now()
		eventually(t, 60*time.Second, well)
		t.Logf("%s: all well %s after it came back", c.what, time.Since(began).Round(100*time.Millisecond))
	}
	if runs := h.list(t, ""); len(runs) > 0 {
		t.Errorf("something was done: %+v", runs)
	}
	from := time.Now()
	h.leak(t, 6)
	if last := h.becomes(t, 120*time.Second, "pool", "verified"); last.Done != 6 {
		t.Errorf("done %d", last.Done)
	}
	eventually(t, 30*time.Second, func() error {
		if n := l.between(from, time.Now()).n; n < 60 {
			return errors.New("too few requests")
		}
		return nil
	})
	l.end()
	after := l.between(from, time.Now())
	if after.bad > 0 {
		t.Errorf("%d of %d requests were not answered with 200, first %+v", after.bad, after.n, after.worst)
	}
	after.likeQuiet(t, "when all had come back", quiet)
	if sessions := sessionsOf(t, db); sessions > 1 {
		t.Errorf("%d connections of the exporter", sessions)
	}
}
