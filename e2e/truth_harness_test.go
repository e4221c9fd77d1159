package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	healthytrial "github.com/resp-exporter/resp-exporter/e2e/trials/healthy"
)

// backgroundApp is an app with a thread of each kind that blocks for long or wakes up
// periodically, and with requests of each kind. REDIS is a port.
const backgroundApp = healthytrial.Background + `
from flask import Flask
app = Flask(__name__)
never = threading.Lock()

@app.get("/healthz")
def healthz(): return "ok"

@app.get("/sleep/<float:s>")
def sleep(s): time.sleep(s); return "ok"

@app.get("/spin/<float:s>")
def spin(s):
    end = time.monotonic() + s
    while time.monotonic() < end: pass
    return "ok"

@app.get("/lock")
def lock(): never.acquire(); return "ok"
`

// stack is one app under one server.
type stack struct {
	*app

	kind    string
	workers int
	loop    bool // an event loop: a request that waits in a thread does not make it stuck
}

// stackOf describes how to start the app under a kind of server.
type stackOf struct {
	kind, server string
	workers      int
	args, env    []string
	loop         bool
	source       string // of the module; empty: backgroundApp
}

// stacks starts the apps, all at the same time, and waits until each answers.
func stacks(t *testing.T, redis int, kinds ...stackOf) []*stack {
	t.Helper()
	var out []*stack
	for _, k := range kinds {
		s := &stack{app: &app{name: unique("bg"), dir: openDir(t)}, kind: k.kind, workers: k.workers, loop: k.loop}
		s.listen = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		s.client = clientOf(t, s.listen)
		text := k.source
		if text == "" {
			text = backgroundApp
		}
		write(t, filepath.Join(s.dir, s.name+".py"), text)
		argv := serverArgs(t, k, s)
		env := append([]string{"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + s.dir, fmt.Sprintf("REDIS=%d", redis)}, k.env...)
		s.Proc = start(t, run.Spec{Name: k.kind, Path: argv[0], Args: argv[1:], Dir: s.dir, Env: env})
		out = append(out, s)
	}
	for _, s := range out {
		eventually(t, 40*time.Second, func() error {
			if err := s.Err(); err != nil {
				t.Fatalf("%s: %v\n%s", s.kind, err, s.Output(3000))
			}
			return wants("status of "+s.kind, s.get("/healthz"), http.StatusOK)
		})
	}
	return out
}

// serverArgs returns the arguments with which each kind of server serves the app.
func serverArgs(t *testing.T, k stackOf, s *stack) []string {
	t.Helper()
	spec := s.name + ":app"
	with := func(argv []string, last ...string) []string { return append(append(argv, k.args...), last...) }
	switch k.server {
	case "gunicorn":
		return with([]string{"gunicorn", "--bind", s.listen, "--timeout", "300"}, spec)
	case "uwsgi":
		argv := []string{"uwsgi", "--plugin", "python3", "--die-on-term", "--need-app", "--master", "--enable-threads", "--http-socket", s.listen, "--module", spec}
		if k.source == "" {
			argv = append(argv, "--lazy-apps") // its threads start with the worker
		}
		return with(argv)
	case "uvicorn":
		return with([]string{"uvicorn", "--interface", "wsgi", "--port", port(s.listen)}, spec)
	case "hypercorn":
		return with([]string{"hypercorn", "--bind", s.listen}, spec)
	case "waitress":
		return with([]string{"waitress-serve", "--listen=" + s.listen}, spec)
	case "flask":
		return with([]string{python, "-m", "flask", "--app", s.name, "--debug", "run", "--port", port(s.listen)})
	default:
		t.Fatalf("no server %q", k.server)
		return nil
	}
}

// workerJSON is a worker in /api/v1/status.
type workerJSON struct {
	State   string  `json:"state"`
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail"`
	Slot    int     `json:"slot"`
}

// verdict is an app in /api/v1/status.
type verdict struct {
	Name    string       `json:"name"`
	Up      bool         `json:"up"`
	Workers []workerJSON `json:"workers"`
	Health  struct {
		Overall         string   `json:"overall_status"`
		Recommendations []string `json:"recommendations"`
	} `json:"health"`
}

// verdicts reads what the exporter reports of each app, and the time of its last check.
func (x *exporter) verdicts(t *testing.T) (map[string]verdict, time.Time) {
	t.Helper()
	status, body, err := x.get("/api/v1/status")
	if err != nil || status != http.StatusOK {
		t.Fatalf("status: %d, %v", status, err)
	}
	var s struct {
		LastCheck time.Time `json:"last_check"`
		Apps      []verdict `json:"apps"`
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]verdict)
	for _, a := range s.Apps {
		out[a.Name] = a
	}
	return out, s.LastCheck
}

// rests returns an error unless each worker of the app is idle.
func (s *stack) rests(m metrics) error {
	errs := []error{m.want(float64(s.workers), "resp_app_workers", "app="+s.name, "state=idle")}
	for _, state := range []string{"busy", "stuck", "booting"} {
		errs = append(errs, m.want(0, "resp_app_workers", "app="+s.name, "state="+state))
	}
	if err := all(errs...); err != nil {
		return fmt.Errorf("%s: %w", s.kind, err)
	}
	return nil
}

// allRest returns an error unless each worker of each app is idle.
func allRest(m metrics, apps []*stack) error {
	var errs []error
	for _, s := range apps {
		errs = append(errs, s.rests(m))
	}
	return all(errs...)
}

// shortTimes are thresholds under which a worker is stuck after 3 s, and which
// nothing of a busy machine crosses.
func shortTimes(stacks []*stack) string {
	lines := []string{"monitoring_interval: 1s", "thresholds: {response_time: {warning: 1, critical: 3}, memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}", "apps:"}
	for _, s := range stacks {
		lines = append(lines, fmt.Sprintf("  - {name: %s, match: {listen: %q}}", s.name, s.listen))
	}
	return joined(lines...)
}

// plainRedis starts a Redis and returns its port.
func plainRedis(t *testing.T) int {
	t.Helper()
	at := freePort(t)
	start(t, run.Spec{Name: "redis", Path: "redis-server", Args: []string{"--port", fmt.Sprint(at), "--bind", "127.0.0.1", "--save", "", "--dir", openDir(t)}})
	return at
}
