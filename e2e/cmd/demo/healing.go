package main

import (
	"context"
	"net/http"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// healing is the section of that name in the exporter's configuration: one rule
// a fault, by the fault's name. App, pool and servers are what the alerts name.
// The times are short, like those of the alerts, and so is what an action waits
// for: in a minute nothing is older than a minute. The new expiry of a session is
// the shortest that there is.
const healing = `healing:
  mode: enforce
  token_file: %s
  identity: {label: instance, value: %q}
  warmup: 5s
  rules:
    - name: connections
      match: {alertname: RespPoolLeak}
      cooldown: 45s
      steps:
        - action: kill_leaked_connections
          with: {min_idle: 10s, max_victims: 20, max_fraction: 0.9, max_trx_rows: 1000, procedure: resp_heal.kill_idle}
          verify_within: 30s
        - action: escalate
    - name: memory
      match: {alertname: RespWorkerMemoryLeak}
      cooldown: 45s
      steps:
        - action: recycle_worker
          with: {pick: largest, min_age: 20s, import_check: [/usr/bin/python3, -B, -c, "import shop"]}
          verify_within: 45s
        - action: escalate
    - name: query
      match: {alertname: RespQueryTooLong}
      cooldown: 45s
      steps:
        - action: kill_long_queries
          with: {users: [shop], min_time: 5s, max_victims: 5, procedure: resp_heal.kill_query}
          verify_within: 30s
        - action: escalate
    - name: sessions
      match: {alertname: RespSessionsWithoutExpiry}
      cooldown: 45s
      steps:
        - action: purge_sessions
          with: {grace: 1m, min_idle: 5s, max_keys: 10000, max_fraction: 0.5}
          verify_within: 30s
        - action: escalate
    - name: worker
      match: {alertname: RespTasksStuck}
      cooldown: 45s
      steps:
        - action: restart_task
          with: {idempotent: true, min_stuck: 10s}
          verify_within: 45s
        - action: escalate
    - name: overload
      match: {alertname: RespQueueTimeHigh}
      cooldown: 45s
      steps:
        - action: throttle
          with: {target: 1s, ttl: 30s, ramp: 5s}
          verify_within: 30s
        - action: escalate
    - name: emergency
      match: {alertname: RespAppMemoryHigh}
      cooldown: 30s
      steps:
        - action: collect_garbage
          with: {stagger: 1s, min_freed: 0.1}
          verify_within: 11s
        - action: throttle
          with: {percent: 60, component: memory, ttl: 30s, ramp: 5s}
          verify_within: 20s
        - action: recycle_worker
          with: {pick: largest, min_age: 20s, import_check: [/usr/bin/python3, -B, -c, "import shop"]}
          verify_within: 30s
        - action: escalate
    - name: task
      match: {alertname: RespTaskRestartLoop}
      cooldown: 45s
      steps:
        - action: escalate
`

// attempt is a run as the exporter reports it.
type attempt struct {
	ID, Rule, State, Reason, Action string
	Created, Updated, Applied       time.Time
	Done                            int
	Plan                            *struct{ Summary string }
	Before                          []struct{ Action, Result, Reason, Summary string }
}

// throttled reports whether the exporter asks an app to shed requests.
func (s *stack) throttled(ctx context.Context) (bool, error) {
	var answer struct{ Throttles []struct{ App string } }
	err := getJSON(ctx, s.exporterURL+"/api/v1/runs", &answer)
	return len(answer.Throttles) > 0, err
}

// runs reads the mode and the runs from the exporter, the newest run first.
func (s *stack) runs(ctx context.Context) (mode string, list []attempt, err error) {
	var answer struct {
		Mode string
		Runs []attempt
	}
	err = getJSON(ctx, s.exporterURL+"/api/v1/runs", &answer)
	return answer.Mode, answer.Runs, err
}

// alert is a pending or firing alert of Prometheus.
type alert struct {
	State               string
	Labels, Annotations map[string]string
}

// firing returns the alert of that name that fires; nil: none does.
func (s *stack) firing(ctx context.Context, name string) (*alert, error) {
	var answer struct{ Data struct{ Alerts []alert } }
	if err := getJSON(ctx, s.promURL+"/api/v1/alerts", &answer); err != nil {
		return nil, err
	}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" && a.Labels["alertname"] == name {
			return &a, nil
		}
	}
	return nil, nil //nolint:nilnil // see above
}

// getJSON decodes the response of a URL into a value, within 5 s.
func getJSON(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return run.GetJSON(ctx, http.DefaultClient, url, into)
}
