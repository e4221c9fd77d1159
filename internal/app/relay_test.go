package app_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// An alert that is posted to one exporter about another one is acted on by that one, once.
// Without the Redis the response is 503.
func TestRelay(t *testing.T) {
	server := redistest.Start(t)
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "s3cret\n")
	start := func(host string) exporter {
		state := filepath.Join(t.TempDir(), "state")
		return run(t, fmt.Sprintf(`
statsd: {listen: []}
redis: [{name: fleet, url: %q}]
healing:
  mode: enforce
  warmup: 0s
  token_file: %s
  identity: {label: instance, value: %q}
  relay: {redis: fleet}
  rules:
    - {name: ill, match: {alertname: Ill}, cooldown: 1s, steps: [{action: run_command, timeout: 5s, verify_within: 1s, with: {argv: [/bin/true]}}]}
`, server.URL(), token, host), func(o *app.Options) { o.StateDir = state })
	}
	a, b := start("a:1"), start("b:1")
	await := func(url, line string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			_, page := get(t, url+"/metrics")
			if strings.Contains(page, line+"\n") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("not within a minute: %s", line)
			}
		}
	}
	tell := func(host string) int {
		t.Helper()
		body := fmt.Sprintf(`{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Ill","instance":%q},"startsAt":"2026-01-02T03:04:05Z","fingerprint":"ab"}]}`, host)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/api/v1/alerts", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer s3cret")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	await(a.url, "resp_heal_relay_up 1")
	await(b.url, "resp_heal_relay_up 1")
	for deadline := time.Now().Add(time.Minute); tell("b:1") != http.StatusAccepted; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("not accepted within a minute")
		}
	}
	if code := tell("b:1"); code != http.StatusAccepted {
		t.Errorf("again: status %d", code)
	}
	await(b.url, `resp_heal_runs_total{action="run_command",result="verified",rule="ill"} 1`)
	await(a.url, "resp_heal_relay_waiting 0")
	await(a.url, `resp_heal_runs_total{action="run_command",result="verified",rule="ill"} 0`)
	server.Stop()
	if code := tell("b:1"); code != http.StatusServiceUnavailable {
		t.Errorf("without a Redis: status %d", code)
	}
	await(b.url, `resp_heal_runs_total{action="run_command",result="verified",rule="ill"} 1`)
}
