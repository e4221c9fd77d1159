package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const alertmanagerExample = "../rules/alertmanager.example.yml"

// TestExamples checks that the servers accept the examples, and that every alert reaches
// its receivers: the healer and people for alerts that can be healed, only people for
// alerts about the exporter or healing, only the healer for the heartbeat.
func TestExamples(t *testing.T) {
	t.Parallel()
	tool(t, "", "amtool", "check-config", alertmanagerExample)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := ruleFiles(t)
	for _, name := range append([]string{"../rules/prometheus.example.yml"}, files...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "rules", filepath.Base(name))
		if strings.HasSuffix(name, "example.yml") {
			to = filepath.Join(dir, filepath.Base(name))
		}
		write(t, to, string(text))
	}
	out := tool(t, dir, "promtool", "check", "config", "prometheus.example.yml")
	if want := fmt.Sprintf("%d rule files found", len(files)); !strings.Contains(out, want) {
		t.Errorf("want %q in\n%s", want, out)
	}
	_, alerts := shipped(t)
	for _, a := range alerts {
		t.Run(strings.ReplaceAll(a.Key(), "/", "_"), func(t *testing.T) {
			t.Parallel()
			want := "healing,people"
			switch c := a.Labels["component"]; {
			case a.Alert == "RespWatchdog":
				want = "healing"
			case c == "exporter" || c == "healing":
				want = "people"
			}
			tool(t, "", "amtool", "config", "routes", "test", "--config.file="+alertmanagerExample, "--verify.receivers="+want,
				"alertname="+a.Alert, "severity="+a.Labels["severity"], "component="+a.Labels["component"], "job=resp", "instance=web-1:9868")
		})
	}
}

// TestInhibition checks that a real Alertmanager inhibits exactly the alerts that another
// alert explains.
func TestInhibition(t *testing.T) {
	t.Parallel()
	base := alertmanager(t)
	type labels = map[string]string
	web1 := func(l labels) labels { l["job"], l["instance"] = "resp", "web-1:9868"; return l }
	web2 := func(l labels) labels { l["job"], l["instance"] = "resp", "web-2:9868"; return l }
	cases := []struct {
		name   string
		labels labels
		muted  bool
	}{
		{"critical", web1(labels{"alertname": "RespPoolNearlyExhausted", "severity": "critical", "app": "shop", "pool": "main"}), false},
		{"its warning", web1(labels{"alertname": "RespPoolNearlyExhausted", "severity": "warning", "app": "shop", "pool": "main"}), true},
		{"of another pool", web1(labels{"alertname": "RespPoolNearlyExhausted", "severity": "warning", "app": "shop", "pool": "reports"}), false},
		{"of another app", web1(labels{"alertname": "RespPoolNearlyExhausted", "severity": "warning", "app": "blog", "pool": "main"}), false},
		{"of another instance", web2(labels{"alertname": "RespPoolNearlyExhausted", "severity": "warning", "app": "shop", "pool": "main"}), false},
		{"another warning", web1(labels{"alertname": "RespWorkersStuck", "severity": "warning", "app": "shop"}), false},

		{"held up", labels{"alertname": "RespHeldUp", "severity": "critical", "app": "shop", "cause": "db_lock", "job": "resp", "instance": "web-5:9868"}, false},
		{"its workers", labels{"alertname": "RespWorkersStuck", "severity": "warning", "app": "shop", "job": "resp", "instance": "web-5:9868"}, false},
		{"its queue", labels{"alertname": "RespQueueFull", "severity": "critical", "app": "shop", "listener": ":8000", "job": "resp", "instance": "web-5:9868"}, false},
		{"its leak", labels{"alertname": "RespPoolLeak", "severity": "warning", "app": "shop", "pool": "main", "job": "resp", "instance": "web-5:9868"}, false},
		{"its errors", labels{"alertname": "RespErrorRateHigh", "severity": "warning", "app": "shop", "job": "resp", "instance": "web-5:9868"}, true},
		{"errors of another", labels{"alertname": "RespErrorRateHigh", "severity": "warning", "app": "blog", "job": "resp", "instance": "web-5:9868"}, false},
		{"its memory", labels{"alertname": "RespAppMemoryHigh", "severity": "warning", "app": "shop", "job": "resp", "instance": "web-5:9868"}, false},

		{"redis down", web1(labels{"alertname": "RespRedisDown", "severity": "critical", "redis": "cache"}), false},
		{"its hit rate", web1(labels{"alertname": "RespCacheHitRateLow", "severity": "warning", "redis": "cache"}), true},
		{"of another redis", web1(labels{"alertname": "RespCacheHitRateLow", "severity": "warning", "redis": "queue"}), false},

		{"mysql down", labels{"alertname": "RespMySQLDown", "severity": "critical", "mysql": "main", "job": "resp", "instance": "web-3:9868"}, false},
		{"its queries", labels{"alertname": "RespQueryTooLong", "severity": "warning", "mysql": "main", "job": "resp", "instance": "web-3:9868"}, true},
		{"queries of another", labels{"alertname": "RespQueryTooLong", "severity": "warning", "mysql": "logs", "job": "resp", "instance": "web-3:9868"}, false},
		{"pools", labels{"alertname": "RespPoolLeak", "severity": "warning", "app": "shop", "pool": "main", "job": "resp", "instance": "web-3:9868"}, true},
		{"workers", labels{"alertname": "RespWorkersStuck", "severity": "warning", "app": "shop", "job": "resp", "instance": "web-3:9868"}, false},

		{"exporter down", labels{"alertname": "RespExporterDown", "severity": "critical", "job": "resp", "instance": "web-4:9868"}, false},
		{"what it saw", labels{"alertname": "RespAppDown", "severity": "critical", "app": "shop", "job": "resp", "instance": "web-4:9868"}, true},
		{"of others", labels{"alertname": "OtherDown", "severity": "critical", "job": "resp", "instance": "web-4:9868"}, false},
		{"the heartbeat", labels{"alertname": "RespWatchdog", "severity": "none"}, false},
	}
	var body []map[string]any
	for _, c := range cases {
		c.labels["case"] = c.name
		body = append(body, map[string]any{"labels": c.labels})
	}
	post(t, base+"/api/v2/alerts", body)
	eventually(t, 20*time.Second, func() error {
		states, err := alertStates(t.Context(), base)
		if err != nil {
			return err
		}
		var errs []error
		for _, c := range cases {
			want := "active"
			if c.muted {
				want = "suppressed"
			}
			errs = append(errs, wants(c.name, states[c.name], want))
		}
		return all(errs...)
	})
}

// TestHealableAlertsReachHealing checks that the alert about an app's cause inhibits no alert
// for which the runbooks have an action: an inhibited alert reaches no receiver, so healing
// would not begin while the app needs it.
func TestHealableAlertsReachHealing(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Rules []struct {
			Sources []string `yaml:"source_matchers"`
			Targets []string `yaml:"target_matchers"`
		} `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?s)\n### (Resp\w+)\n.*?\n- \*\*Action:\*\* (\w+)`).FindAllStringSubmatch(string(page), -1)
	checked := 0
	for _, r := range example.Rules {
		if !slices.Contains(r.Sources, "alertname = RespHeldUp") {
			continue
		}
		for _, target := range r.Targets {
			pattern := regexp.MustCompile(`^(?:` + strings.Trim(strings.TrimPrefix(target, "alertname =~ "), `"`) + `)$`)
			for _, s := range sections {
				if !pattern.MatchString(s[1]) {
					continue
				}
				checked++
				if s[2] != "none" {
					t.Errorf("RespHeldUp inhibits %s, and the runbooks have an action for it", s[1])
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("found %d inhibited alerts with a runbook, want 5 or more", checked)
	}
}

// TestPeopleByCause checks that people get one message for a cause that many hosts share,
// and that the healer gets one for each host.
func TestPeopleByCause(t *testing.T) {
	t.Parallel()
	const hosts = 20
	base := alertmanager(t)
	var body []map[string]any
	for host := range hosts {
		at := map[string]string{"job": "resp", "instance": fmt.Sprintf("web-%d:9868", host), "severity": "critical"}
		for _, more := range []map[string]string{
			{"alertname": "RespMySQLDown", "component": "database", "mysql": "main"},
			{"alertname": "RespHeldUp", "component": "app", "app": "shop", "cause": "db_lock"},
			{"alertname": "RespHeldUp", "component": "app", "app": "blog", "cause": "upstream"},
		} {
			maps.Copy(more, at)
			body = append(body, map[string]any{"labels": more})
		}
	}
	post(t, base+"/api/v2/alerts", body)
	eventually(t, 20*time.Second, func() error {
		var groups []struct {
			Receiver struct{ Name string }
			Alerts   []struct{}
		}
		if err := run.GetJSON(t.Context(), http.DefaultClient, base+"/api/v2/alerts/groups", &groups); err != nil {
			return err
		}
		n, alerts := map[string]int{}, map[string]int{}
		for _, g := range groups {
			n[g.Receiver.Name]++
			alerts[g.Receiver.Name] += len(g.Alerts)
		}
		return all(wants("groups", fmt.Sprint(n), "map[healing:60 people:3]"), wants("alerts", fmt.Sprint(alerts), "map[healing:60 people:60]"))
	})
}

// alertmanager starts an Alertmanager with the example's configuration, with receivers on
// this machine only, and returns its address.
func alertmanager(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := strings.NewReplacer("web-1:9868", "127.0.0.1:1", "localhost:25", "127.0.0.1:1").Replace(string(text))
	file := write(t, filepath.Join(dir, "alertmanager.yml"), config)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := start(t, run.Spec{Name: "alertmanager", Path: "prometheus-alertmanager", Args: []string{
		"--config.file=" + file, "--storage.path=" + dir, "--web.listen-address=" + address, "--cluster.listen-address=", "--log.level=error",
	}})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

func post(t *testing.T, url string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s", url, resp.Status)
	}
}

// alertStates returns the state of each alert by its label case. The API
// computes inhibition as it answers.
func alertStates(ctx context.Context, base string) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v2/alerts", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var alerts []struct {
		Labels map[string]string
		Status struct{ State string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, a := range alerts {
		states[a.Labels["case"]] = a.Status.State
	}
	return states, nil
}
