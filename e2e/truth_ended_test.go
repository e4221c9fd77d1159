package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTruthEndedIsNotPresent checks that a fault that ended changes neither the exit code nor
// the metric nor the headline. It is shown as recovering with the time of its end, and the
// next fault has a start time of its own.
func TestTruthEndedIsNotPresent(t *testing.T) {
	t.Parallel()
	l := launch{server: "gunicorn", name: unique("shop"), port: freePort(t), args: []string{"-w", "1"}}
	a := serve(t, l)
	x := watch(t, export{
		args: []string{"--no-collector.host", "--no-collector.disk"},
		config: joined("monitoring_interval: 5m", "thresholds: {memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}",
			fmt.Sprintf("apps: [{name: %s, match: {listen: %q}}]", a.name, a.listen)),
	})
	down := func() error { return x.says(t, a, "critical", "app_down") }
	well := func() error {
		s, err := x.status()
		for _, a := range s.Apps {
			err = all(err, wants("alerts of "+a.Name, len(a.Health.Alerts), 0))
		}
		return all(err, x.says(t, a, "healthy", ""), x.scrape(t).want(0, "resp_health_status", "app="+a.name, "component=overall"))
	}
	eventually(t, 30*time.Second, well)
	a.Stop()
	eventually(t, 30*time.Second, down)
	first := x.sinceOf(t, a.name)
	a = serve(t, l)
	eventually(t, 30*time.Second, well)
	a.Stop()
	eventually(t, 30*time.Second, down)
	if again := x.sinceOf(t, a.name); !again.After(first) {
		t.Errorf("the second fault began at %s, as the first one", again)
	}
}

// sinceOf returns since when the worst alert about an app has been there.
func (x *exporter) sinceOf(t *testing.T, app string) time.Time {
	t.Helper()
	var got struct {
		Apps []struct {
			Name   string
			Health struct{ Alerts []struct{ Since time.Time } }
		}
	}
	_, body, err := x.get("/api/v1/status")
	if err == nil {
		err = json.Unmarshal([]byte(body), &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got.Apps {
		if a.Name == app && len(a.Health.Alerts) > 0 {
			return a.Health.Alerts[0].Since
		}
	}
	t.Fatalf("no alert about %s in %s", app, body)
	return time.Time{}
}

// TestTruthHeartbeatIsNoAlert checks that a heartbeat alert is not listed as firing.
func TestTruthHeartbeatIsNoAlert(t *testing.T) {
	t.Parallel()
	x := watch(t, export{config: healing(t), args: []string{"--state.dir=" + filepath.Join(t.TempDir(), "state")}})
	alert := func(name, severity string) string {
		return strings.ReplaceAll(notification(name, "1"), `"severity":"critical"`, `"severity":"`+severity+`"`)
	}
	for name, severity := range map[string]string{"RespWatchdog": "none", "Watchdog": "None", "Real": "warning"} {
		if code, body, err := x.post("/api/v1/alerts", alert(name, severity), healToken); err != nil || code/100 != 2 {
			t.Fatalf("%d %s %v", code, body, err)
		}
	}
	eventually(t, 20*time.Second, func() error {
		_, page, err1 := x.get("/")
		_, status, err2 := x.get("/api/v1/status")
		_, runs, err3 := x.get("/api/v1/runs")
		errs := []error{err1, err2, err3}
		for where, text := range map[string]string{"page": page, "status": status, "runs": runs} {
			errs = append(errs, wants("the alert on "+where, strings.Contains(text, "Real"), true),
				wants("the heartbeat on "+where, strings.Contains(text, "atchdog"), false))
		}
		return all(errs...)
	})
}

// TestTruthBadgeIsHealth checks that the badge of a store shows its health, and not only
// whether it answers.
func TestTruthBadgeIsHealth(t *testing.T) {
	t.Parallel()
	s := database(t)
	x := watch(t, export{config: mysqlSection(t, "main", s) + "thresholds: {query_time: {warning: 1, critical: 2}}\n"})
	badge := func(level string) func() error {
		return func() error {
			_, page, err := x.get("/")
			_, stores, _ := strings.Cut(page, `aria-label="Stores"`)
			stores, _, _ = strings.Cut(stores, "</section>")
			return all(err, wants("a badge "+level, strings.Contains(stores, "l-"+level), true))
		}
	}
	eventually(t, 30*time.Second, badge("healthy"))
	db, err := s.OpenTCP("shop", "shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for range 3 {
		go func() { _, _ = db.ExecContext(t.Context(), "SELECT SLEEP(600)") }()
	}
	eventually(t, 30*time.Second, func() error { return all(badge("critical")(), wants("green", badge("healthy")() == nil, false)) })
}
