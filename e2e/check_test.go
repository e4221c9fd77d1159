package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// check runs the command against the exporter and returns its exit code and its output.
func (x *exporter) check(args ...string) (int, string) {
	out, err := exec.Command(binary, append([]string{"check", "--url=" + x.url}, args...)...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		return -1, err.Error()
	}
	return 0, string(out)
}

// checked is what `check --output=json` prints, as far as tests read it.
type checked struct {
	Status, Summary string
	Alerts          []alertJSON
	Recommendations []string
}

// says returns an error unless the app has that level on every surface: the exit code and
// both outputs of check, the metric, the API and the page. The first alert is of the rule
// of that name, and every surface shows its summary and the first advice of the API.
func (x *exporter) says(t *testing.T, a *app, level, rule string) error {
	t.Helper()
	code, out := x.check()
	number := map[string]int{"healthy": 0, "warning": 1, "critical": 2}[level]
	if code != number {
		return fmt.Errorf("check ends with %d, want %d:\n%s", code, number, out)
	}
	var c checked
	codeJSON, text := x.check("--output=json")
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	s, err := x.status()
	errs := []error{
		err, wants("exit code with JSON", codeJSON, number), wants("status of check", c.Status, level),
		x.scrape(t).want(float64(number), "resp_health_status", "app="+a.name, "component=workers"),
	}
	shown := []string{a.name}
	if level != "healthy" {
		alert, err := s.alert(a.name, level, rule)
		errs = append(errs, err, wants("alerts of check", len(c.Alerts) > 0 && c.Alerts[0].Name == rule, true))
		shown = append(shown, alert.Summary)
	}
	if len(s.Recommendations) > 0 {
		shown = append(shown, s.Recommendations[0])
	}
	_, page, err := x.get("/")
	errs = append(errs, err)
	for where, text := range map[string]string{"check": out, "the page": html.UnescapeString(page)} {
		if !hasAll(text, shown) {
			errs = append(errs, fmt.Errorf("%s does not show %q:\n%.2000s", where, shown, text))
		}
	}
	return all(errs...)
}

// TestCheckFollowsTheApp makes workers busy and stuck, and ends them as the advice says.
func TestCheckFollowsTheApp(t *testing.T) {
	t.Parallel()
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2", "--timeout", "600"}})
	// So long after the warning that this is read on every surface.
	critical := scaled(12 * time.Second)
	x := watch(t, export{ // what else runs on this host does not matter
		args: []string{"--no-collector.host", "--no-collector.disk"},
		config: joined("monitoring_interval: 1s", fmt.Sprintf("thresholds: {response_time: {warning: 2, critical: %.0f}, memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}", critical.Seconds()),
			fmt.Sprintf("apps: [{name: %s, match: {listen: %q}}]", a.name, a.listen)),
	})
	eventually(t, 30*time.Second, func() error { return x.says(t, a, "healthy", "") })

	a.behind("/slow?s=600")
	a.behind("/slow?s=600")
	eventually(t, 30*time.Second, func() error {
		return x.says(t, a, "warning", "workers")
	})
	eventually(t, critical+28*time.Second, func() error {
		return x.says(t, a, "critical", "workers")
	})
	for slot, pid := range x.scrape(t).pids(a.name) {
		eventually(t, 20*time.Second, func() error { // the other one may have begun its request later
			if _, out := x.check(); !regexp.MustCompile(fmt.Sprintf(`kill -QUIT [0-9 ]*\b%d\b`, pid)).MatchString(out) {
				return fmt.Errorf("no advice for worker %s, pid %d:\n%s", slot, pid, out)
			}
			return nil
		})
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 40*time.Second, func() error { return x.says(t, a, "healthy", "") })
	x.Stop()
	var c checked
	code, out := x.check("--output=json")
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != 3 || c.Status != "unknown" || !strings.Contains(c.Summary, x.url) {
		t.Errorf("without an exporter: %d, %v: %s", code, err, out)
	}
}
