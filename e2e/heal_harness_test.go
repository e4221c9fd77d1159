package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The divisor of the times of the shipped rules in a scenario, and the shortest range,
// which holds several scrapes.
const (
	faster   = 600
	shortest = 5 * time.Second
)

// sick is the shop with all its stores, and an exporter that may act on it.
type sick struct {
	*exporter

	shop   *app
	stores shopStored
	state  string // the exporter's directory
	token  string // the file
}

// sickness describes how to start a scenario.
type sickness struct {
	rules   []string // lines of healing.rules
	more    []string // lines of the configuration
	pool    string   // more keys of the pool
	tasks   string   // more entries of the app's tasks, each after a comma
	workers int      // of gunicorn; empty: 3
	gunicorn,
	env, mariadb []string
	redis func(*redisServer) // to be done with it before anybody uses it
	wrap  []string           // a program that runs each server, shop and exporter
	state string             // empty: a new one
}

// startSick starts all of it, in enforce mode.
func startSick(t *testing.T, o sickness) *sick {
	t.Helper()
	h := &sick{stores: shopStoresIn(t, o.wrap, append([]string{"--max-connections=400"}, o.mariadb...)...), state: o.state}
	healProcedures(t, h.stores.db)
	allow(t, h.stores.db)
	shopUsers(h.stores.redis, sessionRights, rqRights, purgeRights, restartRights)
	if o.redis != nil {
		o.redis(h.stores.redis)
	}
	if h.state == "" {
		h.state = filepath.Join(openDir(t), "state")
	}
	h.token = write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	if err := os.Chmod(h.token, 0o600); err != nil {
		t.Fatal(err)
	}
	module, port, workers := unique("shop"), freePort(t), cmp.Or(o.workers, 3)
	config := h.stores.config + joined(append([]string{
		"monitoring_interval: 1s", "apps:", fmt.Sprintf("  - name: shop\n    match: {listen: \"127.0.0.1:%d\"}", port),
		"    pools: [{name: main, mysql: main, user: shop, leak_after: 3s" + o.pool + "}]",
		"    sessions: [{redis: cache, prefix: \"session:\", lifetime: 2h}]",
		"    tasks: [{type: rq, redis: cache, queues: [default]}" + o.tasks + "]",
	}, o.more...)...) + joined(append([]string{"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: " + h.token, "  rules:"}, o.rules...)...)
	h.exporter = watch(t, export{config: strings.ReplaceAll(config, "MODULE", module), args: []string{"--state.dir=" + h.state, "--leak.time-scale=150"}, wrap: o.wrap})
	h.shop = serve(t, launch{
		server: "gunicorn", name: module, port: port, env: append(h.stores.env, o.env...), wrap: o.wrap,
		args: append([]string{"-w", fmt.Sprint(workers), "--timeout", "600", "--graceful-timeout", "20", "--statsd-host", h.udp, "--dogstatsd-tags", "app:shop"}, o.gunicorn...),
	})
	h.shop.name = "shop"
	eventually(t, 40*time.Second, func() error {
		m := h.scrape(t)
		return all(seen(m, h.shop, "gunicorn", workers), m.want(1, "resp_up", "component=mysql:main"), m.want(1, "resp_up", "component=redis:cache"))
	})
	return h
}

// alerting starts a real Prometheus with the shipped rules, scaled, and a real
// Alertmanager with the shipped configuration, which tell the exporter.
func (h *sick) alerting(t *testing.T) (prometheus, alertmanager *run.Proc) {
	t.Helper()
	prometheus, alertmanager, _ = h.alertingAt(t)
	return prometheus, alertmanager
}

// alertingAt does the same and returns Prometheus's address.
func (h *sick) alertingAt(t *testing.T) (prometheus, alertmanager *run.Proc, base string) {
	t.Helper()
	need(t, "prometheus", "prometheus-alertmanager")
	text, err := os.ReadFile(alertmanagerExample)
	if err != nil {
		t.Fatal(err)
	}
	routed, err := rules.Routing{Webhook: h.url + "/api/v1/alerts", TokenFile: h.token, Interval: time.Second, Repeat: 5 * time.Second}.Route(text)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	fast := filepath.Join(dir, "rules")
	if err := (rules.Scaling{By: faster, Least: shortest}).ScaleDir(rulesDir, fast); err != nil {
		t.Fatal(err)
	}
	am, pr := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	alertmanager = start(t, run.Spec{Name: "alertmanager", Path: supervisor[0], Args: append(supervisor[1:], "prometheus-alertmanager",
		"--config.file="+write(t, filepath.Join(dir, "alertmanager.yml"), string(routed)), "--storage.path="+filepath.Join(dir, "am"),
		"--web.listen-address="+am, "--cluster.listen-address=", "--log.level=error")})
	config := write(t, filepath.Join(dir, "prometheus.yml"), joined(
		"global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}",
		"rule_files: ["+filepath.Join(fast, "*.rules.yml")+"]",
		fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}", am),
		"scrape_configs:", "  - job_name: resp", fmt.Sprintf("    static_configs: [{targets: [%q]}]", strings.TrimPrefix(h.url, "http://"))))
	prometheus = start(t, run.Spec{Name: "prometheus", Path: supervisor[0], Args: append(supervisor[1:], "prometheus", "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+pr, "--log.level=warn", "--rules.alert.resend-delay=5s")})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := errors.Join(run.Answers(ctx, alertmanager, "http://"+am+"/-/ready"), run.Answers(ctx, prometheus, "http://"+pr+"/-/ready")); err != nil {
		t.Fatal(err)
	}
	return prometheus, alertmanager, "http://" + pr
}

// untold calls f while Alertmanager, below its supervisor, is stopped: no alert is acted on
// before f has returned, however long that takes.
func untold(t *testing.T, alertmanager *run.Proc, f func()) {
	t.Helper()
	pid := child(t, alertmanager, 0)
	signals(t, pid, syscall.SIGSTOP)
	f()
	signals(t, pid, syscall.SIGCONT)
}

// step is a run as the API reports it.
type step struct {
	ID, Rule, State, Reason, Action, Target string
	Applied, Created, Updated               time.Time
	Done                                    int
	Plan                                    struct {
		Summary string
		Total   int
		Victims []struct{ Kind, ID string }
	}
	Before []struct{ Action, Result, Reason string }
	Alert  struct{ Labels map[string]string }
}

// list returns the runs of a rule, the newest first.
func (h *sick) list(t *testing.T, rule string) (out []step) {
	t.Helper()
	status, body, err := h.get("/api/v1/runs")
	if err != nil || status != http.StatusOK {
		t.Fatalf("runs: %d %v %s", status, err, body)
	}
	var answer struct{ Runs []step }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	for _, r := range answer.Runs {
		if rule == "" || r.Rule == rule {
			out = append(out, r)
		}
	}
	return out
}

// becomes waits until the newest run of a rule is in that state.
func (h *sick) becomes(t *testing.T, limit time.Duration, rule, state string) (last step) {
	t.Helper()
	eventually(t, limit, func() error {
		list := h.list(t, rule)
		if len(list) == 0 {
			return fmt.Errorf("no run of %s", rule)
		}
		if last = list[0]; last.State != state {
			return fmt.Errorf("the run of %s is %s, want %s: %s %+v", rule, last.State, state, last.Reason, last.Before)
		}
		return nil
	})
	return last
}

// report sends the exporter an alert as Alertmanager does; labels are "name=value".
func (h *sick) report(t *testing.T, name string, labels ...string) int {
	t.Helper()
	set := map[string]string{"alertname": name}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		set[k] = v
	}
	body, err := rules.Notification(set, map[string]string{"summary": "it is sick"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := h.post("/api/v1/alerts", string(body), healToken)
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
		t.Fatalf("%s: %d %s", name, status, answer)
	}
	return status
}

// reported sends an alert that must be accepted.
func (h *sick) reported(t *testing.T, name string, labels ...string) {
	t.Helper()
	if status := h.report(t, name, labels...); status != http.StatusAccepted {
		t.Fatalf("%s: status %d", name, status)
	}
}

// importCheck is the setting for the shop, whose title hides gunicorn's own check.
const importCheck = `import_check: [/usr/bin/python3, -B, -c, "import MODULE"]`
