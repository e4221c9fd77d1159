package e2e_test

import (
	"errors"
	"fmt"
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

// says returns an error unless the app has that level, reason and advice on every surface.
func (x *exporter) says(t *testing.T, a *app, level, summary, advice string) error {
	t.Helper()
	code, out := x.check()
	number := map[string]int{"healthy": 0, "warning": 1, "critical": 2}[level]
	if code != number {
		return fmt.Errorf("check ends with %d, want %d:\n%s", code, number, out)
	}
	errs := []error{x.scrape(t).want(float64(number), "resp_health_status", "app="+a.name, "component=workers")}
	where := "Well: "
	if level != "healthy" {
		where = "\n  " + level + " since "
	}
	for _, want := range []string{"resp-exporter " + strings.ToUpper(level) + " - ", a.name, where, summary, advice} {
		if !strings.Contains(out, want) {
			errs = append(errs, fmt.Errorf("check does not print %q:\n%s", want, out))
		}
	}
	if _, page, err := x.get("/"); err != nil || !strings.Contains(page, summary) || !strings.Contains(page, advice) {
		errs = append(errs, fmt.Errorf("the page has no %q and %q (%w)", summary, advice, err))
	}
	return all(errs...)
}

// Workers are made busy and stuck, and are ended as the advice says.
func TestCheckFollowsTheApp(t *testing.T) {
	t.Parallel()
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2", "--timeout", "300"}})
	x := watch(t, export{ // what else runs on this host does not matter
		args: []string{"--no-collector.host", "--no-collector.disk"},
		config: joined("monitoring_interval: 1s", "thresholds: {response_time: {warning: 2, critical: 12}, memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}",
			fmt.Sprintf("apps: [{name: %s, match: {listen: %q}}]", a.name, a.listen)),
	})
	eventually(t, 30*time.Second, func() error { return x.says(t, a, "healthy", "", "") })

	a.behind("/slow?s=120")
	a.behind("/slow?s=120")
	eventually(t, 30*time.Second, func() error {
		return x.says(t, a, "warning", a.name+" has no free worker: 2 of 2 workers busy", "All 2 workers of "+a.name+" are busy or stuck")
	})
	eventually(t, 40*time.Second, func() error {
		return x.says(t, a, "critical", a.name+" does not answer: 2 of 2 workers stuck", "aborts the requests of workers")
	})
	if code, out := x.check("--output=json"); code != 2 || !strings.Contains(out, `"status": "critical"`) {
		t.Errorf("JSON: %d\n%s", code, out)
	}

	for slot, pid := range x.scrape(t).pids(a.name) {
		if _, out := x.check(); !regexp.MustCompile(fmt.Sprintf(`kill -QUIT [0-9 ]*\b%d\b`, pid)).MatchString(out) {
			t.Errorf("no advice for worker %s, pid %d:\n%s", slot, pid, out)
		}
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 40*time.Second, func() error { return x.says(t, a, "healthy", "", "") })
	x.Stop()
	if code, out := x.check(); code != 3 || !strings.Contains(out, "UNKNOWN - cannot reach the exporter at "+x.url) {
		t.Errorf("without an exporter: %d %s", code, out)
	}
}
