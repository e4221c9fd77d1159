package e2e_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload checks that a reload applies a new file without losing a counter, and that an
// invalid file changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	x := watch(t, export{args: []string{"--web.enable-lifecycle"}})
	name := unique("shop")
	line := "gunicorn.request.status.200:1|c|#app:" + name
	send(t, x.udp, line, line, line)
	counted := func(n float64) {
		t.Helper()
		eventually(t, 10*time.Second, func() error {
			return x.scrape(t).want(n, "resp_http_requests_total", "app="+name, "code=200")
		})
	}
	counted(3)
	threshold := func(want float64, reloaded float64) error {
		m := x.scrape(t)
		return all(
			m.want(want, "resp_threshold", "resource=memory", "severity=warning"),
			m.want(reloaded, "resp_config_last_reload_successful"),
			m.has("resp_config_last_reload_success_timestamp_seconds"),
		)
	}
	if err := threshold(0.80, 1); err != nil {
		t.Fatal(err)
	}

	write(t, x.config, x.statsdSection()+"thresholds: {memory: {warning: 0.71, critical: 0.9}}\n")
	if err := x.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error { return threshold(0.71, 1) })
	counted(3)
	send(t, x.udp, line)
	counted(4)

	write(t, x.config, x.statsdSection()+"thresholds: {memory: {warnin: 0.5}}\n")
	status, body, err := x.do(http.MethodPost, "/-/reload")
	if err != nil || status != http.StatusInternalServerError || !regexp.MustCompile(`resp-exporter\.yml:2: .*warnin`).MatchString(body) {
		t.Fatalf("reload of a bad file: status %d, %v, body %q; want 500 with file and line", status, err, body)
	}
	if err := threshold(0.71, 0); err != nil {
		t.Fatal(err)
	}
	send(t, x.udp, line)
	counted(5)

	write(t, x.config, x.statsdSection()+"thresholds: {memory: {warning: 0.72, critical: 0.9}}\n"+
		"apps: [{name: own, match: {listen: \":1\"}, thresholds: {memory: {warning: 0.5}, cpu: off, disk: {critical: off}}, mute: [tasks]}]\n")
	if status, body, err = x.do(http.MethodPost, "/-/reload"); err != nil || status != http.StatusOK {
		t.Fatalf("reload: status %d, %v, body %q", status, err, body)
	}
	if err := threshold(0.72, 1); err != nil {
		t.Fatal(err)
	}
	counted(5)
	m := x.scrape(t) // what is in force for an app, and for one that only reports requests
	if err := all(
		m.want(0.5, "resp_app_threshold", "app=own", "resource=memory", "severity=warning"), m.want(0.9, "resp_app_threshold", "app=own", "resource=memory", "severity=critical"),
		m.want(0.85, "resp_app_threshold", "app=own", "resource=disk", "severity=warning"), m.want(0.72, "resp_app_threshold", "app="+name, "resource=memory", "severity=warning"),
	); err != nil {
		t.Error(err)
	}
	for _, off := range [][]string{{"resource=cpu"}, {"resource=task_age"}, {"resource=disk", "severity=critical"}} {
		if m.has("resp_app_threshold", append(off, "app=own")...) == nil {
			t.Errorf("the app has a threshold %v", off)
		}
	}
}

func TestReloadNeedsTheFlag(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	if status, _, err := x.do(http.MethodPost, "/-/reload"); err != nil || status != http.StatusForbidden {
		t.Errorf("POST without --web.enable-lifecycle: status %d, %v; want 403", status, err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.yml"), "monitoring_interval: 20s\n")
	bad := write(t, filepath.Join(dir, "bad.yml"), "monitoring_interval: 20s\napps:\n  - {name: a, match: {user: x}}\n  - {name: a, match: {user: x}}\n")
	tests := []struct {
		name string
		args []string
		ok   bool
		says string // a regular expression over all it writes
	}{
		{"a good file", []string{"--config.check", "--config.file=" + good}, true, ``},
		{"a bad file", []string{"--config.check", "--config.file=" + bad}, false, `bad\.yml:4: `},
		{"a bad file at the start", []string{"--config.file=" + bad}, false, `bad\.yml:4: `},
		{"no such file", []string{"--config.check", "--config.file=" + dir + "/none.yml"}, false, `none\.yml`},
		{"version", []string{"--version"}, true, `^resp.exporter, version `},
		{"help", []string{"--help"}, true, `--web\.listen-address`},
		{"no such flag", []string{"--nonsense"}, false, `nonsense`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), binary, test.args...).CombinedOutput()
			if (err == nil) != test.ok {
				t.Errorf("%v: %v, want success %t\n%s", test.args, err, test.ok, out)
			}
			if !regexp.MustCompile(test.says).Match(out) {
				t.Errorf("%v says %s\nwant %s", test.args, out, test.says)
			}
			if strings.Contains(string(out), "goroutine ") {
				t.Errorf("%v panicked:\n%s", test.args, out)
			}
		})
	}
}

// TestTakenPortIsAReason checks that a StatsD port in use sets a gauge and does not end
// the exporter.
func TestTakenPortIsAReason(t *testing.T) {
	t.Parallel()
	first := watch(t, export{})
	second := watch(t, export{statsd: first.statsdSection()})
	eventually(t, 10*time.Second, func() error {
		return second.scrape(t).want(0, "resp_collector_available", "reason=in_use")
	})
	if err := first.scrape(t).has("resp_collector_available", "reason=in_use"); err == nil {
		t.Error("the first exporter lost its port to the second")
	}
}
