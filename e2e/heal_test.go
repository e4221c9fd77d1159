package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const healToken = "hunter2-token-of-the-webhook"

// healing is a section healing whose one rule calls for a person: the shortest
// way through the runner, from the alert to a run that ended.
func healing(t *testing.T, more ...string) string {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	return joined(append([]string{
		"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: " + file,
	}, append(more,
		"  rules:", "    - name: call", "      match: {alertname: Sick}", "      steps: [{action: escalate}]")...)...)
}

// notification is what Alertmanager sends about one alert.
func notification(name, n string) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"g","receiver":"web\\.hook","status":"firing","truncatedAlerts":0,"notification_reason":"first notification",
		"alerts":[{"status":"firing","labels":{"alertname":%q,"n":%q,"severity":"critical"},"annotations":{"summary":"it is sick"},
		"startsAt":"2026-01-02T03:04:05.123Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/","fingerprint":""}]}`, name, n)
}

// post sends a body as Alertmanager does, and returns status and answer.
func (x *exporter) post(path, body, token string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, x.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := x.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(b), err
}

// runs is the list of /api/v1/runs.
type runs struct {
	Mode string
	Why  string
	Runs []struct {
		ID, State, Rule string
		Alert           struct{ Labels map[string]string }
	}
	Paused *struct{ Reason string }
	Human  []string `json:"needs_human"`
}

func (x *exporter) runs(t *testing.T) (out runs) {
	t.Helper()
	status, body, err := x.get("/api/v1/runs")
	if err != nil || status != http.StatusOK {
		t.Fatalf("runs: %d %v %s", status, err, body)
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEnforceNeedsToken checks that the mode enforce requires a token file.
func TestEnforceNeedsToken(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "c.yml"), "statsd: {listen: []}\nhealing: {mode: enforce}\n")
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "--config.file="+file, "--web.listen-address=127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "healing.token_file") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestHealing sends an alert to the real binary and follows its run to the end. The token
// is in no output.
func TestHealing(t *testing.T) {
	t.Parallel()
	state := filepath.Join(openDir(t), "state")
	config := healing(t)
	x := watch(t, export{config: config, args: []string{"--state.dir=" + state}})
	for _, c := range []struct {
		token, body string
		want        int
	}{
		{"", notification("Sick", "1"), 401},
		{"wrong", notification("Sick", "1"), 401},
		{healToken, "{", 400},
		{healToken, notification("Other", "1"), 202},
		{healToken, notification("Sick", "1"), 202},
		{healToken, notification("Sick", "1"), 202},
	} {
		if status, body, err := x.post("/api/v1/alerts", c.body, c.token); err != nil || status != c.want {
			t.Errorf("token %q: %d %s %v, want %d", c.token, status, body, err, c.want)
		}
	}
	eventually(t, 10*time.Second, func() error {
		r := x.runs(t)
		if len(r.Runs) != 1 {
			return fmt.Errorf("runs %+v", r)
		}
		return all(wants("state", r.Runs[0].State, "escalated"), wants("people needed", strings.Join(r.Human, " "), "call"))
	})
	m := x.scrape(t)
	for name, want := range map[string]float64{
		`resp_heal_webhook_requests_total{code="202"}`: 3, `resp_heal_webhook_requests_total{code="401"}`: 2, `resp_heal_webhook_requests_total{code="400"}`: 1,
		`resp_heal_alerts_total{outcome="queued"}`: 1, `resp_heal_alerts_total{outcome="duplicate"}`: 1, `resp_heal_alerts_total{outcome="unmatched"}`: 1,
		`resp_heal_needs_human{rule="call"}`: 1, `resp_heal_mode{mode="enforce"}`: 1,
	} {
		if err := m.is(name, want); err != nil {
			t.Error(err)
		}
	}
	pauseAndRestart(t, x, state, config)
}

// is compares one series, written as in a query.
func (m metrics) is(series string, want float64) error {
	name, rest, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	var labels []string
	for pair := range strings.SplitSeq(rest, ",") {
		labels = append(labels, strings.ReplaceAll(pair, `"`, ""))
	}
	return m.want(want, name, labels...)
}

// pauseAndRestart pauses healing, kills the exporter, and checks that the pause, the runs
// and the file's mode are kept.
func pauseAndRestart(t *testing.T, x *exporter, state, config string) {
	t.Helper()
	if status, body, err := x.post("/api/v1/pause", `{"reason":"deploy","for":"1h"}`, healToken); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	_, page, err := x.get("/")
	if err != nil || !strings.Contains(page, "deploy") || !strings.Contains(page, "it is sick") {
		t.Errorf("the page does not tell of the pause and the alert: %v", err)
	}
	_, scraped, err := x.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-x.Done()
	y := watch(t, export{config: config, args: []string{"--state.dir=" + state}})
	r := y.runs(t)
	if len(r.Runs) != 1 || r.Paused == nil || r.Paused.Reason != "deploy" {
		t.Errorf("after a restart: %+v", r)
	}
	if status, body, err := y.post("/api/v1/alerts", notification("Sick", "2"), healToken); err != nil || status != 202 {
		t.Error(status, body, err)
	}
	if err := y.scrape(t).is(`resp_heal_blocked_total{guard="paused"}`, 1); err != nil {
		t.Error(err)
	}
	journal, err := os.ReadFile(filepath.Join(state, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(state, "journal.jsonl"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the journal has mode %v, %v", info.Mode(), err)
	}
	_, status, _ := y.get("/api/v1/status")
	for where, text := range map[string]string{
		"the log": x.Output(1<<20) + y.Output(1<<20), "the journal": string(journal), "the page": page, "the metrics": scraped, "the status": status,
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the token is in %s", where)
		}
	}
}

// TestHealingFullDisk fills the disk of the journal: alerts are refused with 503 and no
// action runs. After space is freed the alert is accepted.
func TestHealingFullDisk(t *testing.T) {
	t.Parallel()
	needRoot(t)
	state := openDir(t)
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=16k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	x := watch(t, export{config: healing(t), args: []string{"--state.dir=" + state}})
	filler := filepath.Join(state, "filler")
	_ = os.WriteFile(filler, bytes.Repeat([]byte("x"), 64<<10), 0o600) // as much as there is room for
	before := len(x.runs(t).Runs)
	status, body, err := 0, "", error(nil)
	for i := range 50 { // what is left of the last page of the journal
		if status, body, err = x.post("/api/v1/alerts", notification("Sick", fmt.Sprint("full", i)), healToken); status != 202 {
			break
		}
		before++
	}
	if err != nil || status != 503 || !strings.Contains(body, "journal") {
		t.Fatalf("on a full disk: %d %s %v", status, body, err)
	}
	if n := len(x.runs(t).Runs); n > before {
		t.Errorf("%d runs, there were %d accepted", n, before)
	}
	if code, _, err := x.get("/metrics"); err != nil || code != 200 {
		t.Errorf("the scrape: %d %v", code, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		status, body, err := x.post("/api/v1/alerts", notification("Sick", "again"), healToken)
		return all(err, wants("status with "+body, status, 202))
	})
}

// TestHealingWithoutState starts the exporter with a state directory that cannot be used:
// alerts are refused with 503, the API reports the mode off with a reason, and the metric
// has it.
func TestHealingWithoutState(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "state"), "not a directory")
	x := watch(t, export{config: healing(t), args: []string{"--state.dir=" + file}})
	r := x.runs(t)
	if r.Mode != "off" || r.Why == "" {
		t.Errorf("%+v", r)
	}
	if status, body, err := x.post("/api/v1/alerts", notification("Sick", "1"), healToken); err != nil || status != 503 {
		t.Errorf("%d %s %v", status, body, err)
	}
	if err := x.scrape(t).is(`resp_heal_mode{mode="off"}`, 1); err != nil {
		t.Error(err)
	}
}
